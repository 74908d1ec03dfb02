//! Placement of a file: it appears complete under its name, or not at all, on every file system.
//!
//! A file is written under a temporary name and renamed. File systems lack parts of that: flags of
//! `renameat2` (sshfs, rclone, 9p, NFS), hard links (vfat, exFAT, drvfs), `fsync` (some FUSE). Each
//! lack has a fallback that replaces no file of another program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::IntoRawFd;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags, renameat_with, statx};
use tempfile::TempPath;

use super::file::directory_of;

/// Why a file is not in its place.
#[derive(Debug)]
pub(super) enum PlaceError {
    /// It cannot be created, or its name is taken.
    Create(io::Error),
    /// Its contents cannot be written.
    Write(io::Error),
}

impl PlaceError {
    pub(super) fn error(&self) -> &io::Error {
        match self {
            Self::Create(error) | Self::Write(error) => error,
        }
    }

    /// Whether a file of this name exists.
    pub(super) fn is_taken(&self) -> bool {
        self.error().kind() == ErrorKind::AlreadyExists
    }
}

/// Writes a file with the mode 0666 less the umask. A file that exists is an error unless
/// `replace`.
pub(super) fn place(path: &Path, bytes: &[u8], replace: bool) -> Result<(), PlaceError> {
    // A temporary file could be neither renamed nor removed.
    if is_append_only(directory_of(path)) {
        return if replace { overwrite(path, bytes) } else { write_exclusively(path, bytes) };
    }
    let temporary = match temporary_in(directory_of(path), bytes) {
        Ok(temporary) => temporary,
        // The file system may refuse only such names.
        Err(PlaceError::Create(error)) if is_unsupported(&error) && !replace => {
            return write_exclusively(path, bytes);
        }
        Err(error) => return Err(error),
    };
    match replace {
        true => replace_by(temporary, path, bytes),
        false => create_from(temporary, path, bytes),
    }
}

/// A temporary file with these contents, which is removed when dropped.
fn temporary_in(directory: &Path, bytes: &[u8]) -> Result<TempPath, PlaceError> {
    // tempfile's own error has no number, and names a path unknown to the user.
    let mut code = None;
    let temporary = tempfile::Builder::new().prefix(".zimg-").make_in(directory, |path| {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        file.inspect_err(|error| code = error.raw_os_error())
    });
    let (file, path) = temporary
        .map_err(|error| PlaceError::Create(code.map_or(error, io::Error::from_raw_os_error)))?
        .into_parts();
    write(file, bytes).map_err(PlaceError::Write)?;
    Ok(path)
}

/// Writes, syncs and closes a file.
pub(super) fn write(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    match file.sync_all() {
        Err(error) if !is_unsupported(&error) => return Err(error),
        _ => {}
    }
    // NFS and FUSE report here what they could not write, and a full quota.
    match nix::unistd::close(file.into_raw_fd()) {
        // Linux has closed it all the same (close(2)).
        Ok(()) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Renames the temporary file over whatever is at `path`, or overwrites that where the file system
/// does not rename over a file.
fn replace_by(temporary: TempPath, path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    let Err(error) = fs::rename(&temporary, path) else {
        let _ = temporary.keep();
        return Ok(());
    };
    if error.kind() == ErrorKind::IsADirectory {
        return Err(PlaceError::Create(error));
    }
    overwrite(path, bytes).map_err(|overwriting| match overwriting {
        PlaceError::Create(_) => PlaceError::Create(error),
        other => other,
    })
}

/// Writes to the file at `path`, which may exist.
fn overwrite(path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).open(path);
    write(open.map_err(PlaceError::Create)?, bytes).map_err(PlaceError::Write)
}

/// Whether files of a folder can be neither removed nor renamed (`chattr +a`).
pub(super) fn is_append_only(directory: &Path) -> bool {
    let found = statx(CWD, directory, AtFlags::empty(), StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::APPEND))
}

/// Gives the temporary file a name that must be free, by the first way that the file system has:
/// a rename that replaces nothing, a hard link, a rename over an empty file of one's own, or writing
/// to that file.
fn create_from(temporary: TempPath, path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    let taken = |error: &io::Error| error.kind() == ErrorKind::AlreadyExists;
    match renameat_with(CWD, &*temporary, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => {
            let _ = temporary.keep();
            return Ok(());
        }
        Err(error) if taken(&error.into()) => return Err(PlaceError::Create(error.into())),
        Err(_) => {}
    }
    match fs::hard_link(&temporary, path) {
        Ok(()) => return Ok(()),
        Err(error) if taken(&error) => return Err(PlaceError::Create(error)),
        Err(_) => {}
    }
    let own = OpenOptions::new().write(true).create_new(true).open(path);
    let own = own.map_err(PlaceError::Create)?;
    if fs::rename(&temporary, path).is_ok() {
        let _ = temporary.keep();
        return Ok(());
    }
    filled(own, path, bytes)
}

/// Creates a file under its own name and writes to it.
fn write_exclusively(path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    let own = OpenOptions::new().write(true).create_new(true).open(path);
    filled(own.map_err(PlaceError::Create)?, path, bytes)
}

/// Writes to a file that was just created at `path`, and removes it if that fails.
fn filled(own: File, path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    write(own, bytes).map_err(|error| {
        let _ = fs::remove_file(path);
        PlaceError::Write(error)
    })
}

/// Whether a file system says that it has no such operation.
fn is_unsupported(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ENOTTY))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use super::super::probe::probe;
    use super::*;

    #[test]
    fn a_file_appears_whole_and_is_not_replaced_unasked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        place(&path, b"one", false).unwrap();
        assert!(place(&path, b"two", false).unwrap_err().is_taken());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        place(&path, b"three", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert!(write_exclusively(&path, b"four").unwrap_err().is_taken());
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
        place(&directory.path().join("a.png"), b"", false).unwrap();
        assert_eq!(mode("a.png"), mode("usual"));
    }

    /// Only root may set the attribute, on file systems that have it.
    #[test]
    fn an_append_only_folder_holds_the_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let chattr = |flag: &str| {
            let mut command = Command::new("chattr");
            command.arg(flag).arg(directory.path()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        assert!(!is_append_only(directory.path()));
        if !chattr("+a") {
            return;
        }
        let seen = (|| {
            let path = directory.path().join("a.png");
            let probed = [false, true].map(|replace| probe(&path, replace).is_ok());
            place(&path, b"one", false).ok()?;
            let taken = place(&path, b"two", false).is_err_and(|error| error.is_taken());
            place(&path, b"three", true).ok()?;
            let names = fs::read_dir(directory.path()).ok()?.count();
            Some((probed, taken, fs::read(&path).ok()?, names))
        })();
        assert!(chattr("-a"));
        assert_eq!(seen, Some(([true; 2], true, b"three".to_vec(), 1)));
    }

    #[test]
    fn an_error_is_the_systems() {
        let directory = tempfile::tempdir().unwrap();
        let error = place(&directory.path().join("no/a.png"), b"x", false).unwrap_err();
        assert_eq!(error.error().raw_os_error(), Some(Errno::ENOENT as i32));
        let error = place(directory.path(), b"x", true).unwrap_err();
        assert!(matches!(error, PlaceError::Create(_)), "{error:?}");
    }
}
