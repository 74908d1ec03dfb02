//! Syncing and restricting files, on file systems that can do neither.
//!
//! vfat, 9p and many FUSE file systems have no modes, and some no `fsync`. A job that is stored there
//! survives a crash of the daemon, and a power failure as well as any file of that file system.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;

/// Syncs a file or directory, if the file system can.
///
/// # Errors
///
/// What was written is not on the disk.
pub(super) fn sync(file: &File) -> io::Result<()> {
    supported(file.sync_all()).map(drop)
}

/// Whether the file system syncs this file.
pub(super) fn can_sync(path: &Path) -> bool {
    let synced = File::open(path).and_then(|file| supported(file.sync_all()));
    synced.unwrap_or(true)
}

/// Syncs the entries of the directory that contains `path`.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => sync(&File::open(parent)?),
        _ => sync(&File::open(".")?),
    }
}

/// Sets the mode of a file or directory of this user. Returns whether the file system has modes.
///
/// # Errors
///
/// The file belongs to another user, or the system refuses it for another reason.
pub(super) fn restrict(path: &Path, mode: u32) -> io::Result<bool> {
    let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) else {
        return Ok(fs::metadata(path)?.permissions().mode() & 0o077 & !mode == 0);
    };
    let user = nix::unistd::geteuid();
    let own = user.is_root() || fs::metadata(path)?.uid() == user.as_raw();
    let code = error.raw_os_error().map(Errno::from_raw);
    let none =
        matches!(code, Some(Errno::EPERM | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP));
    if own && none { Ok(false) } else { Err(error) }
}

/// Whether the file system has the operation that ended so.
fn supported(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ENOTTY) => Ok(false),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_system_lacks_is_told_from_a_broken_disk() {
        for (code, lacks) in [
            (Errno::EINVAL, true),
            (Errno::ENOSYS, true),
            (Errno::EOPNOTSUPP, true),
            (Errno::EIO, false),
            (Errno::ENOSPC, false),
            (Errno::EDQUOT, false),
            (Errno::EROFS, false),
        ] {
            let ended = supported(Err(code.into()));
            assert_eq!(ended.is_ok_and(|supported| !supported), lacks, "{code}");
        }
    }

    #[test]
    fn a_pipe_cannot_be_synced_and_a_file_can() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("a")).unwrap();
        sync(&file).unwrap();
        assert!(can_sync(&folder.path().join("a")) && can_sync(folder.path()));
        let (_reader, writer) = io::pipe().unwrap();
        sync(&File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        assert!(restrict(&folder.path().join("a"), 0o600).unwrap());
        assert!(restrict(&folder.path().join("none"), 0o600).is_err());
    }
}
