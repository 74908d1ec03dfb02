//! The jobs themselves, in one SQLite file.
//!
//! SQLite sees to what is torn: a transaction is on the disk or it never was. It does not see
//! altered bytes, so every row is summed up in a seal, which is checked when the file is opened.

use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use zimg_protocol::Failure;
use zimg_protocol::messages::JobId;

use super::record::Record;
use super::trouble::Trouble;

/// What marks the file as ours: "zimg".
const APPLICATION: i64 = 0x7a69_6d67;
/// The format that this version writes, and the highest that it reads.
const FORMAT: i64 = 1;
const TABLES: &str = "
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        next_job INTEGER NOT NULL,
        lived_s INTEGER NOT NULL,
        seal INTEGER NOT NULL
    ) STRICT;";

/// An open, checked file.
#[derive(Debug)]
pub(super) struct Database(Connection);

/// What an opened file holds.
#[derive(Debug)]
pub(super) struct Opened {
    pub database: Database,
    /// Its jobs as they are listed, by their numbers.
    pub jobs: Vec<(JobId, Record)>,
    /// The folder's age in seconds.
    pub lived_s: u64,
}

/// What is not a job: the next number, the folder's age, and the sum over everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    next_job: i64,
    lived_s: i64,
    seal: i64,
}

impl Database {
    /// Makes the file, whole or not at all; the first job will have this number.
    pub(super) fn create(path: &Path, first_job: JobId) -> Result<(), Trouble> {
        let unfinished = unfinished(path);
        for leftover in [&unfinished, &journal(&unfinished)] {
            match fs::remove_file(leftover) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut database = Self::connect(&unfinished, flags)?;
        database.0.pragma_update(None, "application_id", APPLICATION)?;
        database.0.pragma_update(None, "user_version", FORMAT)?;
        let change = database.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(TABLES)?;
        let mut head = Head { next_job: number(first_job)?, lived_s: 0, seal: 0 };
        head.seal = head.crc();
        change.execute("INSERT INTO head VALUES (1, ?1, ?2, ?3)", head.row())?;
        change.commit()?;
        database.0.close().map_err(|(_, error)| error)?;
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))?;
        fs::rename(&unfinished, path)?;
        super::sync_folder_of(path)?;
        Ok(())
    }

    /// Opens the file and checks every byte that matters.
    ///
    /// # Errors
    ///
    /// [`Trouble::is_damage`] when the file cannot be trusted.
    pub(super) fn open(path: &Path) -> Result<Opened, Trouble> {
        check_beginning(path)?;
        let mut database = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let (jobs, lived_s) = database.check()?;
        Ok(Opened { database, jobs, lived_s })
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, Trouble> {
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        // Each commit is on the disk, its directory entries included, before it returns.
        connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        connection.pragma_update(None, "cell_size_check", "ON")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        // A forgotten prompt is not left in the file.
        connection.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
        Ok(Self(connection))
    }

    fn check(&mut self) -> Result<(Vec<(JobId, Record)>, u64), Trouble> {
        let pragma = |name| self.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let format = pragma("user_version")?;
        if pragma("application_id")? != APPLICATION || format < 1 {
            return Err(Trouble::Damaged("it is not a file of zimaged's".into()));
        }
        if format > FORMAT {
            return Err(Trouble::Newer(format));
        }
        let words: String = self.0.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
        if words != "ok" {
            return Err(Trouble::Damaged(words.lines().next().unwrap_or_default().to_owned()));
        }
        let look = self.0.transaction()?;
        let head = Head::read(&look)?;
        let mut sum = head.crc();
        let mut jobs = Vec::new();
        let mut query = look.prepare("SELECT id, body FROM jobs ORDER BY id")?;
        let mut rows = query.query(())?;
        while let Some(row) = rows.next()? {
            let (id, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            sum = sum.wrapping_add(crc(id, &body));
            let job = JobId::try_from(id).unwrap_or_default();
            jobs.push((job, Record::decode(job, &body)?.listed()));
        }
        if sum != head.seal {
            return Err(Trouble::Damaged("its seal is broken".into()));
        }
        Ok((jobs, u64::try_from(head.lived_s).unwrap_or_default()))
    }

    /// Writes a new job.
    pub(super) fn insert(&mut self, job: JobId, record: &Record) -> Result<(), Trouble> {
        let (id, body) = (number(job)?, record.encode()?);
        self.change(|tables, head| {
            tables.execute("INSERT INTO jobs VALUES (?1, ?2)", (id, &body))?;
            head.seal = head.seal.wrapping_add(crc(id, &body));
            Ok(())
        })
    }

    /// Changes a job: what it is then.
    pub(super) fn update(
        &mut self,
        job: JobId,
        change: impl FnOnce(&mut Record) -> Result<(), Trouble>,
    ) -> Result<Record, Trouble> {
        let id = number(job)?;
        self.change(|tables, head| {
            let before = body(tables, id)?.ok_or(Trouble::Missing(job))?;
            let mut record = Record::decode(job, &before)?;
            change(&mut record)?;
            let after = record.encode()?;
            tables.execute("UPDATE jobs SET body = ?2 WHERE id = ?1", (id, &after))?;
            head.seal = head.seal.wrapping_sub(crc(id, &before)).wrapping_add(crc(id, &after));
            Ok(record)
        })
    }

    /// A job in full.
    pub(super) fn record(&mut self, job: JobId) -> Result<Record, Trouble> {
        let look = self.0.transaction()?;
        let body = body(&look, number(job)?)?.ok_or(Trouble::Missing(job))?;
        Record::decode(job, &body)
    }

    /// Takes a job out; one that is not there is out already.
    pub(super) fn remove(&mut self, job: JobId) -> Result<(), Trouble> {
        let id = number(job)?;
        self.change(|tables, head| {
            if let Some(before) = body(tables, id)? {
                tables.execute("DELETE FROM jobs WHERE id = ?1", (id,))?;
                head.seal = head.seal.wrapping_sub(crc(id, &before));
            }
            Ok(())
        })
    }

    /// Numbers that no job has had or will have again.
    pub(super) fn numbers(&mut self, count: u32) -> Result<Range<JobId>, Trouble> {
        self.change(|_, head| {
            let first = head.next_job;
            head.set(|head| head.next_job += i64::from(count));
            let [first, end] =
                [first, head.next_job].map(|id| JobId::try_from(id).unwrap_or_default());
            Ok(first..end)
        })
    }

    /// Writes down the folder's age in seconds.
    pub(super) fn lived(&mut self, seconds: u64) -> Result<(), Trouble> {
        let seconds = number(seconds)?;
        self.change(|_, head| {
            head.set(|head| head.lived_s = head.lived_s.max(seconds));
            Ok(())
        })
    }

    /// One transaction, which is on the disk when this returns without an error.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &mut Head) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let tables = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = Head::read(&tables)?;
        let made = change(&tables, &mut head)?;
        tables.execute("UPDATE head SET next_job = ?1, lived_s = ?2, seal = ?3", head.row())?;
        tables.commit()?;
        Ok(made)
    }
}

/// How many jobs are in a file; for `foreign.rs`.
pub(crate) fn jobs_in(file: &Path) -> Result<usize, Failure> {
    let opened = Database::open(file).map_err(|trouble| trouble.failure(file))?;
    Ok(opened.jobs.len())
}

impl Head {
    fn read(tables: &Transaction<'_>) -> Result<Self, Trouble> {
        Ok(tables.query_row("SELECT next_job, lived_s, seal FROM head", (), |row| {
            Ok(Self { next_job: row.get(0)?, lived_s: row.get(1)?, seal: row.get(2)? })
        })?)
    }

    fn row(&self) -> (i64, i64, i64) {
        (self.next_job, self.lived_s, self.seal)
    }

    /// Changes it and the seal with it.
    fn set(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.crc();
        change(self);
        self.seal = self.seal.wrapping_sub(before).wrapping_add(self.crc());
    }

    fn crc(&self) -> i64 {
        crc(self.next_job, &self.lived_s.to_le_bytes())
    }
}

/// What a row adds to the seal.
fn crc(id: i64, body: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(body);
    i64::from(hasher.finalize())
}

fn body(tables: &Transaction<'_>, id: i64) -> Result<Option<Vec<u8>>, Trouble> {
    let found = tables.query_row("SELECT body FROM jobs WHERE id = ?1", (id,), |row| row.get(0));
    Ok(found.optional()?)
}

/// SQLite's integers have a sign.
fn number(of: u64) -> Result<i64, Trouble> {
    i64::try_from(of).map_err(|_| Trouble::Damaged(format!("{of} is beyond all numbers")))
}

/// What SQLite would take as a new file, or write only with a log beside it, was not ours. An
/// empty file is one that was cut: a new one gets its name when it is whole.
fn check_beginning(path: &Path) -> Result<(), Trouble> {
    let mut beginning = [0; 20];
    match File::open(path)?.read_exact(&mut beginning) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Trouble::Damaged("it is cut off".into()));
        }
        other => other?,
    }
    // https://sqlite.org/fileformat.html: the magic words, then at 18 and 19 how it is written.
    if &beginning[..16] != b"SQLite format 3\0" || beginning[18..] != [1, 1] {
        return Err(Trouble::Damaged("it does not begin as it should".into()));
    }
    Ok(())
}

/// The file that has not got its name yet.
fn unfinished(path: &Path) -> PathBuf {
    with(path, ".new")
}

/// The file with which SQLite undoes a transaction that was cut short.
pub(super) fn journal(path: &Path) -> PathBuf {
    with(path, "-journal")
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    #[test]
    fn a_commit_is_on_the_disk_before_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.sqlite");
        Database::create(&path, 1).unwrap();
        let database = Database::open(&path).unwrap().database;
        let pragma = |name| {
            database.0.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        };
        // https://sqlite.org/pragma.html#pragma_synchronous: 3 is EXTRA.
        assert_eq!(pragma("synchronous").unwrap(), 3.into());
        assert_eq!(pragma("journal_mode").unwrap(), "delete".to_owned().into());
        assert_eq!(pragma("secure_delete").unwrap(), 1.into());
    }

    /// Fills the database until it takes no more, as on a full disk.
    fn full(database: &mut Database) -> JobId {
        let pages: i64 =
            database.0.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        database.0.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(())).unwrap();
        (1..)
            .find(|job| database.insert(*job, &record(1000, &"x".repeat(900), 1)).is_err())
            .unwrap()
    }

    #[test]
    fn a_full_disk_undoes_what_does_not_fit_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.sqlite");
        Database::create(&path, 1).unwrap();
        let mut database = Database::open(&path).unwrap().database;
        let refused = full(&mut database);
        let trouble = database.insert(refused, &record(1000, &"x".repeat(900), 1)).unwrap_err();
        assert!(!trouble.is_damage());
        assert_eq!(
            trouble.failure(Path::new("/s")).message,
            "cannot keep jobs in /s: database or disk is full"
        );
        // What frees room is possible, and then there is some.
        for job in 1..refused - 1 {
            database.remove(job).unwrap();
        }
        database.insert(refused, &record(1000, &"x".repeat(900), 1)).unwrap();
        drop(database);
        let jobs = Database::open(&path).unwrap().jobs;
        let jobs: Vec<_> = jobs.into_iter().map(|(job, _)| job).collect();
        assert_eq!(jobs, [refused - 1, refused]);
    }
}
