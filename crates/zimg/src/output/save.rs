//! Atomic file creation: a file appears complete or not at all.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use zimg_client::{Failure, Kind};

use super::file::{OutputFile, directory_of};

/// Writes a temporary file beside `file`, syncs it and renames it. The mode is 0666 less the umask.
///
/// # Errors
///
/// `CannotCreate`: the file cannot be created, or another one was created meanwhile (unless
/// `force`). `Io`: writing failed; nothing is left behind.
pub(crate) fn save(file: &OutputFile, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let cannot = |kind| {
        let path = file.path.display().to_string();
        move |error: io::Error| Failure::new(kind, format!("cannot write {path}: {error}"))
    };
    if file.special {
        let mut open =
            OpenOptions::new().write(true).open(&file.path).map_err(cannot(Kind::CannotCreate))?;
        return open.write_all(bytes).map_err(cannot(Kind::Io));
    }
    let mut temporary = tempfile::Builder::new()
        .prefix(".zimg-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory_of(&file.path))
        .map_err(cannot(Kind::CannotCreate))?;
    // The error of the file handle: that of the temporary file would name a path unknown to the
    // user.
    temporary.as_file_mut().write_all(bytes).map_err(cannot(Kind::Io))?;
    temporary.as_file().sync_all().map_err(cannot(Kind::Io))?;
    let placed =
        if force { temporary.persist(&file.path) } else { temporary.persist_noclobber(&file.path) };
    placed.map(|_| ()).map_err(|error| cannot(Kind::CannotCreate)(error.error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use zimg_image::ImageFormat;

    #[test]
    fn a_file_appears_whole_and_is_not_replaced_unasked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        let file = OutputFile { path: path.clone(), format: ImageFormat::Png, special: false };
        save(&file, b"one", false).unwrap();
        let failure = save(&file, b"two", false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        save(&file, b"three", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn its_mode_is_that_of_any_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        fs::write(directory.path().join("usual"), "").unwrap();
        let path = directory.path().join("a.png");
        save(&OutputFile { path, format: ImageFormat::Png, special: false }, b"", false).unwrap();
        assert_eq!(mode("a.png"), mode("usual"));
    }

    #[test]
    fn a_full_device_is_an_io_failure() {
        let file = OutputFile { path: "/dev/full".into(), format: ImageFormat::Png, special: true };
        assert_eq!(save(&file, b"x", false).unwrap_err().kind, Kind::Io);
    }
}
