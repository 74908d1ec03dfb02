//! Truncated and altered files: the jobs are intact, or the files are moved aside and reported.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// The first file of a directory with this prefix.
fn named(directory: &Path, beginning: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(beginning))
        .collect();
    found.sort();
    found.into_iter().next()
}

/// The outcome of opening a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Intact,
    MovedAside,
    Refused,
}

/// Opens a directory whose database has these bytes, and a journal perhaps, and holds it to: all that
/// was stored, or moved aside as it was with a new one in its place, or refused and untouched.
fn open_damaged(files: &[(&str, &[u8])], jobs: &[(JobId, JobRecord)], what: &str) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    let damaged = files[0].1;
    match JobStore::open(directory.path(), 1_700_000_000) {
        Ok((_, StoreContents { jobs: found, aside: None, .. })) => {
            assert_eq!(found, jobs, "{what}");
            Outcome::Intact
        }
        Ok((_, found)) => {
            let (error, aside) = found.aside.unwrap();
            assert!(found.jobs.is_empty() && error.is_damage(), "{what}: {error}");
            assert_eq!(aside, directory.path().join("jobs.sqlite.corrupt-1700000000"));
            if files.len() == 1 {
                assert!(fs::read(aside).unwrap() == damaged, "{what}: it was written to");
            }
            // Numbers that were given out are not given again.
            assert_eq!(found.numbers, 1_700_000_000..1_700_001_000);
            Outcome::MovedAside
        }
        Err(error) => {
            assert!(!error.is_damage(), "{what}: {error}");
            assert!(fs::read(directory.path().join("jobs.sqlite")).unwrap() == damaged, "{what}");
            Outcome::Refused
        }
    }
}

fn database_and_jobs() -> (Vec<u8>, Vec<(JobId, JobRecord)>) {
    let directory = tempfile::tempdir().unwrap();
    // Images are not the subject here.
    let mut jobs = some_jobs(directory.path());
    fs::remove_dir_all(directory.path().join("pictures")).unwrap();
    let bytes = fs::read(directory.path().join("jobs.sqlite")).unwrap();
    jobs.sort_by_key(|(job, _)| *job);
    (bytes, jobs)
}

#[test]
fn altered_bytes_are_noticed_or_do_not_matter() {
    let (bytes, jobs) = database_and_jobs();
    let mut seeded = Seeded(1);
    let every = std::env::var("ZIMG_FLIP_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(97);
    let mut count = [0; 3];
    let mut at = seeded.below(every);
    while at < bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= u8::try_from(1 + seeded.below(255)).unwrap();
        count[open_damaged(&[("jobs.sqlite", &damaged)], &jobs, &format!("byte {at}")) as usize] +=
            1;
        at += 1 + seeded.below(2 * every - 1);
    }
    // Most of a file is used, or zeroed and in no use.
    assert!(count[0] > 0 && count[1] > count[2], "{count:?}");
    println!("{count:?} of {} bytes", bytes.len());
}

#[test]
fn bytes_of_the_header_are_verified() {
    let (bytes, jobs) = database_and_jobs();
    let mut aside = 0;
    for at in 0..100 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x81;
        let how = open_damaged(&[("jobs.sqlite", &damaged)], &jobs, &format!("byte {at}"));
        aside += u32::from(how != Outcome::Intact);
    }
    // The rest are counters and hints of SQLite's that decide nothing.
    assert!(aside > 40, "{aside}");
}

#[test]
fn a_truncated_file_is_moved_aside() {
    let (bytes, jobs) = database_and_jobs();
    let mut seeded = Seeded(2);
    let mut lengths = vec![0, 1, 19, 20, 100, 4096, bytes.len() - 4096];
    lengths.extend((0..20).map(|_| seeded.below(bytes.len() - 4096)));
    for length in lengths {
        let how =
            open_damaged(&[("jobs.sqlite", &bytes[..length])], &jobs, &format!("{length} bytes"));
        assert_eq!(how, Outcome::MovedAside, "{length} bytes");
    }
    // The last page may have nothing at its end.
    let _ = open_damaged(&[("jobs.sqlite", &bytes[..bytes.len() - 1])], &jobs, "all but one byte");
}

#[test]
fn blocks_of_zeros_and_noise_are_moved_aside_or_do_not_matter() {
    let (bytes, jobs) = database_and_jobs();
    let mut seeded = Seeded(3);
    let mut aside = 0;
    for round in 0..60 {
        let mut damaged = bytes.clone();
        let at = seeded.below(bytes.len() / 512) * 512;
        for byte in &mut damaged[at..at + 512] {
            *byte = if round % 2 == 0 { 0 } else { u8::try_from(seeded.below(256)).unwrap() };
        }
        let how = open_damaged(&[("jobs.sqlite", &damaged)], &jobs, &format!("block {at}"));
        aside += u32::from(how == Outcome::MovedAside);
    }
    assert!(aside > 10, "{aside}");
}

/// The files of a transaction that was cut short after it had written to the database, as a loss of
/// power leaves them.
fn cut_short(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.sqlite");
    fs::write(&path, bytes).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    // No page fits the cache, so each goes to the disk before the commit.
    connection.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE").unwrap();
    for _ in 0..50 {
        connection.execute("INSERT INTO jobs (body) VALUES (zeroblob(3000))", ()).unwrap();
        connection.execute("UPDATE jobs SET body = zeroblob(2900)", ()).unwrap();
    }
    let files =
        (fs::read(&path).unwrap(), fs::read(path.with_extension("sqlite-journal")).unwrap());
    assert!(files.0 != bytes && !files.1.is_empty(), "nothing was written");
    files
}

#[test]
fn an_interrupted_transaction_is_rolled_back() {
    let (bytes, jobs) = database_and_jobs();
    let (database, journal) = cut_short(&bytes);
    let opened = |journal: &[u8], what: &str| {
        open_damaged(&[("jobs.sqlite", &database), ("jobs.sqlite-journal", journal)], &jobs, what)
    };
    assert_eq!(opened(&journal, "cut short"), Outcome::Intact);
    // The journal itself is cut or altered: what cannot be undone any more is noticed.
    let mut seeded = Seeded(4);
    let mut aside = 0;
    for _ in 0..40 {
        let length = seeded.below(journal.len());
        let how = opened(&journal[..length], &format!("{length} bytes of journal"));
        aside += u32::from(how == Outcome::MovedAside);
        let mut damaged = journal.clone();
        let at = seeded.below(journal.len());
        damaged[at] ^= 0x55;
        let how = opened(&damaged, &format!("byte {at} of the journal"));
        aside += u32::from(how == Outcome::MovedAside);
    }
    assert!(aside > 10, "{aside}");
}

#[test]
fn files_moved_aside_are_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let _ = some_jobs(directory.path());
    for round in 0_u8..3 {
        fs::write(directory.path().join("jobs.sqlite"), [round; 30]).unwrap();
        let (mut store, found) = JobStore::open(directory.path(), 1_700_000_000).unwrap();
        let (error, aside) = found.aside.unwrap();
        assert!(matches!(error, StoreError::Damaged(Damage::Header)), "{error}");
        assert_eq!(fs::read(aside).unwrap(), [round; 30]);
        store.accept(u64::from(round) + 1, record(1000, "a fox", 1), &[]).unwrap();
    }
    let stored = named(directory.path(), "pictures.corrupt-1700000000").unwrap();
    assert_eq!(fs::read(stored.join("3-0.rgb")).unwrap(), pixels(3, 0));
    for name in ["jobs.sqlite.corrupt-1700000000", "jobs.sqlite.corrupt-1700000000-2"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
    // A list that is gone is as bad as one that is damaged: its images are not swept away.
    let (mut store, _) = open(directory.path());
    store.store_image(3, &started(), &image(0), &pixels(3, 0)).unwrap();
    drop(store);
    fs::remove_file(directory.path().join("jobs.sqlite")).unwrap();
    let (_, found) = JobStore::open(directory.path(), 1_800_000_000).unwrap();
    let (_, aside) = found.aside.unwrap();
    assert_eq!(fs::read(aside.join("3-0.rgb")).unwrap(), pixels(3, 0));
}

#[test]
fn a_newer_format_and_an_unreadable_file_are_not_touched() {
    let (bytes, jobs) = database_and_jobs();
    let mut newer = bytes.clone();
    // https://sqlite.org/fileformat.html: the user version, big endian, at 60.
    newer[60..64].copy_from_slice(&2_u32.to_be_bytes());
    assert_eq!(open_damaged(&[("jobs.sqlite", &newer)], &jobs, "newer"), Outcome::Refused);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("jobs.sqlite"), &newer).unwrap();
    let failure = JobStore::open(directory.path(), 0).unwrap_err().failure(Path::new("/s"));
    assert_eq!(failure.kind, Kind::Version);
    assert_eq!(
        failure.message,
        "cannot store jobs in /s: a newer zimaged has written them (in format 2)"
    );
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("jobs.sqlite")).unwrap();
    let error = JobStore::open(directory.path(), 0).unwrap_err();
    assert!(!error.is_damage(), "{error}");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let failure = JobStore::open(&file.join("state"), 0).unwrap_err().failure(Path::new("/s"));
    assert_eq!(failure.kind, Kind::Io);
}
