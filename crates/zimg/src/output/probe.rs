//! The probe of a folder: a file is placed in it as the image will be, and removed, before anything
//! is generated.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::unistd::{AccessFlags, eaccess};

use super::file::directory_of;
use super::place::{PlaceError, is_append_only, place};
use crate::interrupt;

/// What is written: a block, for which a full disk has no space.
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// Folder, shape of the name and `replace` of what has been probed: each is probed once.
static PROBED: Mutex<BTreeSet<(PathBuf, OsString, bool)>> = Mutex::new(BTreeSet::new());

/// Places a file beside `path`, whose name has the same length and the same odd characters, by the
/// operations that [`place`] takes for `path`.
///
/// # Errors
///
/// Whatever would be the error for `path`.
pub(super) fn probe(path: &Path, replace: bool) -> Result<(), PlaceError> {
    let directory = directory_of(path);
    let name = path.file_name().unwrap_or_default();
    let key = (directory.to_owned(), with_letters(name, |_| b'x'), replace);
    let mut probed = PROBED.lock().unwrap_or_else(PoisonError::into_inner);
    if probed.contains(&key) {
        // The folder may have gone since, or become read-only.
        return eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|error| PlaceError::Create(error.into()));
    }
    // What is placed there stays there.
    if is_append_only(directory) {
        return eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|error| PlaceError::Create(error.into()));
    }
    // No signal ends the process here, so no file is left behind.
    let _no_exit = interrupt::hold_exit();
    for attempt in 0..8 {
        let other = directory.join(with_letters(name, |at| letter(at, attempt)));
        match place(&other, &BLOCK, false) {
            // Another process probes at the same time, or there is a file of this name.
            Err(error) if error.is_taken() => continue,
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let replaced = if replace { place(&other, &BLOCK, true) } else { Ok(()) };
        let _ = fs::remove_file(&other);
        replaced?;
        break;
    }
    probed.insert(key);
    Ok(())
}

/// Forgets that the folder of `path` was probed: what has worked there does no longer.
pub(super) fn forget(path: &Path) {
    let directory = directory_of(path);
    let mut probed = PROBED.lock().unwrap_or_else(PoisonError::into_inner);
    probed.retain(|(folder, ..)| folder != directory);
}

/// The name with its ASCII letters and digits replaced, one for one.
fn with_letters(name: &OsStr, replace: impl Fn(usize) -> u8) -> OsString {
    let bytes = name.as_bytes().iter().enumerate();
    let replaced = bytes.map(|(at, byte)| match byte {
        byte if byte.is_ascii_alphanumeric() => replace(at),
        byte => *byte,
    });
    OsString::from_vec(replaced.collect())
}

/// A letter that depends on the process, so that two of them probe with different names.
fn letter(at: usize, attempt: u32) -> u8 {
    let seed = u64::from(std::process::id()) << 8 | u64::from(attempt);
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(at as u32 * 5);
    b'a' + (mixed % 26) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_has_a_name_of_the_same_shape_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "雪.png", "a: b?.webp", &"x".repeat(255)] {
            for replace in [false, true] {
                let path = folder.path().join(name);
                assert!(probe(&path, replace).is_ok(), "{name}");
                let other = with_letters(name.as_ref(), |at| letter(at, 0));
                assert_eq!(other.len(), name.len());
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let long = probe(&folder.path().join("x".repeat(256)), false).unwrap_err();
        assert_eq!(long.error().kind(), std::io::ErrorKind::InvalidFilename);
    }

    #[test]
    fn a_folder_that_has_gone_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        assert!(probe(&path, false).is_ok());
        folder.close().unwrap();
        assert!(probe(&path, false).is_err());
        forget(&path);
        assert!(probe(&path, false).is_err());
    }

    #[test]
    fn files_of_other_programs_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for attempt in 0..8 {
            let name = with_letters("a.png".as_ref(), |at| letter(at, attempt));
            fs::write(folder.path().join(name), "mine").unwrap();
        }
        assert!(probe(&folder.path().join("a.png"), true).is_ok());
        for entry in fs::read_dir(folder.path()).unwrap() {
            assert_eq!(fs::read(entry.unwrap().path()).unwrap(), b"mine");
        }
    }
}
