//! Oracles of the job store: records and files of detached jobs.

use std::cell::OnceCell;
use std::fs;

use tempfile::TempDir;

use super::within;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// A record is read and encoded again to the same bytes; one of an older format to bytes of the
/// present format, which are then stable. A record begins with the number of its format.
pub fn record(bytes: &[u8]) {
    let encode =
        |bytes: &[u8]| within(3 * bytes.len(), || zimaged::fuzzing::reencode_record(bytes));
    if let Some(again) = encode(bytes) {
        if again.get(..4) == bytes.get(..4) {
            assert_eq!(again, bytes);
        }
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
