//! Lock files: one daemon at a time owns a socket, or a state directory. The kernel releases a
//! lock when its process ends, however it ends.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Why a lock cannot be taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process holds it: " (process 7)", or "" if its id is not known.
    Held(String),
    /// The system refuses it.
    Io(io::Error),
}

/// Locks the file at `path`, which is created if it is missing, until the lock is dropped.
///
/// # Errors
///
/// [`LockError`]; this never waits.
pub(crate) fn lock(path: &Path) -> Result<Flock<File>, LockError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(LockError::Io)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // For the error message of another daemon; it may fail on a full disk.
            let _ = lock
                .rewind()
                .and_then(|()| lock.set_len(0))
                .and_then(|()| writeln!(lock, "{}", std::process::id()));
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            Err(LockError::Held(match file.read_to_string(&mut pid) {
                Ok(_) if !pid.trim().is_empty() => format!(" (process {})", pid.trim()),
                _ => String::new(),
            }))
        }
        Err((_, error)) => Err(LockError::Io(error.into())),
    }
}
