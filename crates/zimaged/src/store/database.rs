//! The job database: one SQLite file with a checksum over all rows.
//!
//! SQLite makes transactions atomic, but does not notice altered bytes. Every row is part of a
//! checksum, which is verified when the file is opened.

use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use zimg_protocol::messages::JobId;

use super::error::{Damage, StoreError};
use super::record::JobRecord;
use super::sync::{can_sync, restrict, sync_parent};

/// SQLite's application id of the file: "zimg".
const APPLICATION_ID: i64 = 0x7a69_6d67;
/// The format version that is written, and the highest that is read.
const FORMAT: i64 = 1;
const TABLES: &str = "
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        next_job INTEGER NOT NULL,
        lived_s INTEGER NOT NULL,
        seal INTEGER NOT NULL
    ) STRICT;";

/// An open database whose checksum matches.
#[derive(Debug)]
pub(super) struct Database(Connection);

/// A database with its contents at opening.
#[derive(Debug)]
pub(super) struct OpenedDatabase {
    pub database: Database,
    /// The jobs in the order of their ids, with shortened prompts.
    pub jobs: Vec<(JobId, JobRecord)>,
    /// The directory's age in seconds.
    pub lived_s: u64,
}

/// The one row that is not a job: the next job id, the directory's age and the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    next_job: i64,
    lived_s: i64,
    checksum: i64,
}

impl Database {
    /// Creates the file atomically; job ids start at `first_job`.
    pub(super) fn create(path: &Path, first_job: JobId) -> Result<(), StoreError> {
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
        database.0.pragma_update(None, "application_id", APPLICATION_ID)?;
        database.0.pragma_update(None, "user_version", FORMAT)?;
        let change = database.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(TABLES)?;
        let mut head = Head { next_job: number(first_job)?, lived_s: 0, checksum: 0 };
        head.checksum = head.crc();
        change.execute("INSERT INTO head VALUES (1, ?1, ?2, ?3)", head.row())?;
        change.commit()?;
        database.0.close().map_err(|(_, error)| error)?;
        restrict(&unfinished, 0o600)?;
        fs::rename(&unfinished, path)?;
        sync_parent(path)?;
        Ok(())
    }

    /// Opens the file and verifies its structure, records and checksum.
    ///
    /// # Errors
    ///
    /// [`StoreError::is_damage`] if the file differs from what was written.
    pub(super) fn open(path: &Path) -> Result<OpenedDatabase, StoreError> {
        check_header(path)?;
        let mut database = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let (jobs, lived_s) = database.check()?;
        Ok(OpenedDatabase { database, jobs, lived_s })
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        // Each commit is on the disk, directory entries included, before it returns.
        connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
        // SQLite fails where the file system cannot sync.
        let synchronous = if can_sync(path) { "EXTRA" } else { "OFF" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "cell_size_check", "ON")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        // The prompt of a deleted job is overwritten.
        connection.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
        Ok(Self(connection))
    }

    fn check(&mut self) -> Result<(Vec<(JobId, JobRecord)>, u64), StoreError> {
        let pragma = |name| self.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let format = pragma("user_version")?;
        if pragma("application_id")? != APPLICATION_ID || format < 1 {
            return Err(Damage::Foreign.into());
        }
        if format > FORMAT {
            return Err(StoreError::NewerFormat(format));
        }
        let report: String =
            self.0.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
        if report != "ok" {
            let first = report.lines().next().unwrap_or_default().to_owned();
            return Err(Damage::Integrity(first).into());
        }
        let snapshot = self.0.transaction()?;
        let head = Head::read(&snapshot)?;
        let mut sum = head.crc();
        let mut jobs = Vec::new();
        let mut query = snapshot.prepare("SELECT id, body FROM jobs ORDER BY id")?;
        let mut rows = query.query(())?;
        while let Some(row) = rows.next()? {
            let (id, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            sum = sum.wrapping_add(crc(id, &body));
            let job = JobId::try_from(id).unwrap_or_default();
            jobs.push((job, JobRecord::decode(job, &body)?.listed()));
        }
        if sum != head.checksum {
            return Err(Damage::Checksum.into());
        }
        Ok((jobs, u64::try_from(head.lived_s).unwrap_or_default()))
    }

    /// Inserts a new job.
    pub(super) fn insert(&mut self, job: JobId, record: &JobRecord) -> Result<(), StoreError> {
        let (id, body) = (number(job)?, record.encode()?);
        self.change(|tables, head| {
            tables.execute("INSERT INTO jobs VALUES (?1, ?2)", (id, &body))?;
            head.checksum = head.checksum.wrapping_add(crc(id, &body));
            Ok(())
        })
    }

    /// Changes a record and returns it.
    pub(super) fn update(
        &mut self,
        job: JobId,
        change: impl FnOnce(&mut JobRecord) -> Result<(), StoreError>,
    ) -> Result<JobRecord, StoreError> {
        let id = number(job)?;
        self.change(|tables, head| {
            let before = body(tables, id)?.ok_or(StoreError::NoSuchJob(job))?;
            let mut record = JobRecord::decode(job, &before)?;
            change(&mut record)?;
            let after = record.encode()?;
            tables.execute("UPDATE jobs SET body = ?2 WHERE id = ?1", (id, &after))?;
            head.checksum =
                head.checksum.wrapping_sub(crc(id, &before)).wrapping_add(crc(id, &after));
            Ok(record)
        })
    }

    /// Reads a whole record.
    pub(super) fn record(&mut self, job: JobId) -> Result<JobRecord, StoreError> {
        let snapshot = self.0.transaction()?;
        let body = body(&snapshot, number(job)?)?.ok_or(StoreError::NoSuchJob(job))?;
        JobRecord::decode(job, &body)
    }

    /// Deletes a job, if it is there.
    pub(super) fn remove(&mut self, job: JobId) -> Result<(), StoreError> {
        let id = number(job)?;
        self.change(|tables, head| {
            if let Some(before) = body(tables, id)? {
                tables.execute("DELETE FROM jobs WHERE id = ?1", (id,))?;
                head.checksum = head.checksum.wrapping_sub(crc(id, &before));
            }
            Ok(())
        })
    }

    /// Job ids that no other job has had or will have.
    pub(super) fn reserve_ids(&mut self, count: u32) -> Result<Range<JobId>, StoreError> {
        self.change(|_, head| {
            let first = head.next_job;
            head.set(|head| head.next_job += i64::from(count));
            let [first, end] =
                [first, head.next_job].map(|id| JobId::try_from(id).unwrap_or_default());
            Ok(first..end)
        })
    }

    /// Stores the directory's age in seconds.
    pub(super) fn save_age(&mut self, seconds: u64) -> Result<(), StoreError> {
        let seconds = number(seconds)?;
        self.change(|_, head| {
            head.set(|head| head.lived_s = head.lived_s.max(seconds));
            Ok(())
        })
    }

    /// Runs one transaction, which is on the disk when this returns without an error.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &mut Head) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let tables = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = Head::read(&tables)?;
        let done = change(&tables, &mut head)?;
        tables.execute("UPDATE head SET next_job = ?1, lived_s = ?2, seal = ?3", head.row())?;
        tables.commit()?;
        Ok(done)
    }
}

/// The number of jobs in a file; for fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn jobs_in(file: &Path) -> Result<usize, zimg_protocol::Failure> {
    let opened = Database::open(file).map_err(|error| error.failure(file))?;
    Ok(opened.jobs.len())
}

impl Head {
    fn read(tables: &Transaction<'_>) -> Result<Self, StoreError> {
        Ok(tables.query_row("SELECT next_job, lived_s, seal FROM head", (), |row| {
            Ok(Self { next_job: row.get(0)?, lived_s: row.get(1)?, checksum: row.get(2)? })
        })?)
    }

    fn row(&self) -> (i64, i64, i64) {
        (self.next_job, self.lived_s, self.checksum)
    }

    /// Changes the row and the checksum accordingly.
    fn set(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.crc();
        change(self);
        self.checksum = self.checksum.wrapping_sub(before).wrapping_add(self.crc());
    }

    fn crc(&self) -> i64 {
        crc(self.next_job, &self.lived_s.to_le_bytes())
    }
}

/// What a row adds to the checksum.
fn crc(id: i64, body: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(body);
    i64::from(hasher.finalize())
}

fn body(tables: &Transaction<'_>, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let found = tables.query_row("SELECT body FROM jobs WHERE id = ?1", (id,), |row| row.get(0));
    Ok(found.optional()?)
}

/// A number as SQLite stores it, with a sign.
fn number(of: u64) -> Result<i64, StoreError> {
    i64::try_from(of).map_err(|_| Damage::Range(of).into())
}

/// Rejects files that SQLite would accept and zimaged has not written: an empty file, which SQLite
/// takes as a new database although new files are renamed only when complete, and one in WAL mode.
fn check_header(path: &Path) -> Result<(), StoreError> {
    let mut header = [0; 20];
    match File::open(path)?.read_exact(&mut header) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Damage::CutOff.into());
        }
        other => other?,
    }
    // https://sqlite.org/fileformat.html: the magic string; at 18 and 19 the journal mode.
    if &header[..16] != b"SQLite format 3\0" || header[18..] != [1, 1] {
        return Err(Damage::Header.into());
    }
    Ok(())
}

/// The temporary name of a new file.
fn unfinished(path: &Path) -> PathBuf {
    with_suffix(path, ".new")
}

/// The journal with which SQLite rolls back an interrupted transaction.
pub(super) fn journal(path: &Path) -> PathBuf {
    with_suffix(path, "-journal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.sqlite");
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

    /// Fills the database up to its page limit, as on a full disk.
    fn full(database: &mut Database) -> JobId {
        let pages: i64 =
            database.0.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        database.0.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(())).unwrap();
        (1..)
            .find(|job| database.insert(*job, &record(1000, &"x".repeat(900), 1)).is_err())
            .unwrap()
    }

    #[test]
    fn a_full_disk_rolls_back_only_what_does_not_fit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.sqlite");
        Database::create(&path, 1).unwrap();
        let mut database = Database::open(&path).unwrap().database;
        let refused = full(&mut database);
        let error = database.insert(refused, &record(1000, &"x".repeat(900), 1)).unwrap_err();
        assert!(!error.is_damage());
        assert_eq!(
            error.failure(Path::new("/s")).message,
            "cannot store jobs in /s: database or disk is full"
        );
        // Deleting is possible on a full disk, and frees space.
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
