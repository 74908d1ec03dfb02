//! Oracles of the job store: records and files of detached jobs.

use std::cell::OnceCell;
use std::fs;

use tempfile::TempDir;

use super::wire::EMPTY_PROMPT;
use super::{within, without_negative_zeros};

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// A record that is read is encoded to bytes that say the same and are encoded to the same again.
/// They need not be those that were read: the present format replaces an older one, a parameter
/// that was given its default is left out, and a prompt that is left out is written as empty.
pub fn record(bytes: &[u8]) -> bool {
    let encode =
        |bytes: &[u8]| within(3 * bytes.len(), || zimaged::fuzzing::reencode_record(bytes));
    let Some(again) = encode(bytes) else { return false };
    assert_eq!(encode(&again).as_ref(), Some(&again));
    let [before, after] = [bytes, &again].map(|bytes| {
        let text = zimaged::fuzzing::describe_record(bytes).unwrap();
        without_negative_zeros(&text)
    });
    assert_eq!(after, before);
    // Formats of another number may be longer or shorter.
    let grown = again.len() > bytes.len() + EMPTY_PROMPT;
    assert!(again.get(..4) != bytes.get(..4) || !grown, "{again:x?}");
    true
}

/// A file of jobs is read to the last job or not trusted. (What SQLite holds is not counted.)
pub fn jobs(bytes: &[u8]) -> bool {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().unwrap());
        let file = folder.path().join("jobs.sqlite");
        fs::write(&file, bytes).unwrap();
        let found = within(4 * bytes.len(), || zimaged::fuzzing::count_stored_jobs(&file));
        if found.is_ok() {
            assert!(bytes.starts_with(b"SQLite format 3\0"));
        }
        found.is_ok_and(|jobs| jobs > 0)
    })
}
