//! Oracles of the job store: records and files of detached jobs.

use std::cell::OnceCell;
use std::fs;

use tempfile::TempDir;

use super::within;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// A record that is read is encoded to bytes that are read and encoded to the same again. They need
/// not be those that were read: the present format replaces an older one, and a parameter may be
/// left out or given its default.
pub fn record(bytes: &[u8]) {
    let encode =
        |bytes: &[u8]| within(3 * bytes.len(), || zimaged::fuzzing::reencode_record(bytes));
    if let Some(again) = encode(bytes) {
        assert_eq!(encode(&again).as_ref(), Some(&again));
    }
}

/// A file of jobs is read to the last job or not trusted. (What SQLite holds is not counted.)
pub fn jobs(bytes: &[u8]) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().unwrap());
        let file = folder.path().join("jobs.sqlite");
        fs::write(&file, bytes).unwrap();
        let found = within(4 * bytes.len(), || zimaged::fuzzing::count_stored_jobs(&file));
        if found.is_ok() {
            assert!(bytes.starts_with(b"SQLite format 3\0"));
        }
    });
}
