//! Oracles of the job store: records and files of detached jobs.

use std::cell::OnceCell;
use std::fs;

use tempfile::TempDir;

use super::within;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// A record is read and written again as it was.
pub fn record(bytes: &[u8]) {
    if let Some(again) = within(3 * bytes.len(), || zimaged::fuzzing::reencode_record(bytes)) {
        assert_eq!(again, bytes);
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
