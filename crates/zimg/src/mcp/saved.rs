//! Images that are saved beside the answer: in one folder that the user has named, under names that
//! no tool's argument decides.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use zimg_client::{Failure, Kind};

/// The folder, absolute and existing.
///
/// # Errors
///
/// `CannotCreate`: it does not exist and cannot be made.
pub(super) fn folder(path: PathBuf) -> Result<PathBuf, Failure> {
    let made = fs::create_dir_all(&path).and_then(|()| path.canonicalize());
    made.map_err(|error| {
        let message = format!("cannot make the folder {}: {error}", path.display());
        Failure::new(Kind::CannotCreate, message)
    })
}

/// Saves a PNG file as `zimg-SEED.png`, with a number where there is one already.
///
/// # Errors
///
/// `CannotCreate`: the folder takes no file.
pub(super) fn save(folder: &Path, seed: u64, file: &[u8]) -> Result<PathBuf, Failure> {
    let cannot = |path: &Path, error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(Kind::CannotCreate, message)
    };
    let mut number = 1;
    loop {
        let path = folder.join(match number {
            1 => format!("zimg-{seed}.png"),
            number => format!("zimg-{seed}-{number}.png"),
        });
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut to) => {
                let written = to.write_all(file);
                return match written {
                    Ok(()) => Ok(path),
                    Err(error) => {
                        // Half a file is no image.
                        let _ = fs::remove_file(&path);
                        Err(cannot(&path, error))
                    }
                };
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(cannot(&path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = folder(temporary.path().join("a/b")).unwrap();
        let first = save(&folder, 7, b"1").unwrap();
        let second = save(&folder, 7, b"2").unwrap();
        assert_eq!(
            (fs::read(first).unwrap(), fs::read(&second).unwrap()),
            (vec![b'1'], vec![b'2'])
        );
        assert!(second.ends_with("zimg-7-2.png"));
        assert!(super::folder(second.join("x")).is_err());
    }
}
