//! Lock files: one daemon at a time has a socket, or a folder of jobs. The kernel lets go when
//! the process ends, however it ends.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process has it: " (process 7)", or nothing where that is not known.
    Held(String),
    /// The system does not let it be taken.
    Io(io::Error),
}

/// Takes the lock file at `path`, which is made if need be, until it is dropped.
///
/// # Errors
///
/// [`LockError`]; it is never waited for.
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
            // For the other daemon's sentence and for humans; nothing relies on it, and a full
            // disk is no reason against it.
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
