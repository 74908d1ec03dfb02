//! The listening socket: its default path, its permissions, and the lock that ensures a single
//! daemon.
//!
//! A lock file beside the socket is held until the process ends. A slow daemon therefore never
//! loses its socket to another one, and the socket of a dead daemon is replaced.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use zimg_protocol::{Failure, Kind};

use crate::lock::{self, LockError};
use crate::workers::retained_weights::FdName;

/// The socket of the system's service.
const SYSTEM_SOCKET: &str = "/run/zimaged/zimaged.sock";
/// The kernel's `sun_path` without its final zero.
const PATH_MAX: usize = 107;
/// Connections that the kernel queues until they are accepted.
const BACKLOG: i32 = 64;

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Another daemon holds the lock, or answers: " (process 7)", or "" if its id is not known.
    #[error("another zimaged{holder} listens at {}", path.display())]
    InUse { path: PathBuf, holder: String },
    /// A file of another type has the path.
    #[error("{} is there already and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// The path does not fit into an address.
    #[error("the socket path has {bytes} bytes, but at most {PATH_MAX} fit: {}", path.display())]
    PathTooLong { path: PathBuf, bytes: usize },
    /// The system refuses an operation on the socket, its directory or its lock.
    #[error("cannot {operation} {}: {error}", path.display())]
    Io { operation: &'static str, path: PathBuf, error: io::Error },
    /// The service manager passed something other than one Unix socket.
    #[error("the service manager passed {0}")]
    Passed(String),
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        let (kind, hint) = match &error {
            SocketError::InUse { .. } => {
                (Kind::Busy, "use that one, stop it, or give this one another path with --socket")
            }
            SocketError::NotASocket(_) => {
                return Self::new(Kind::CannotCreate, error.to_string());
            }
            SocketError::PathTooLong { .. } => (Kind::Config, HINT),
            SocketError::Io { error, .. } => match error.kind() {
                io::ErrorKind::PermissionDenied => (Kind::Permission, HINT),
                _ => (Kind::CannotCreate, HINT),
            },
            SocketError::Passed(_) => return Self::new(Kind::Config, error.to_string()),
        };
        Self::new(kind, error.to_string()).hint(hint)
    }
}

const HINT: &str = "--socket chooses another path";

/// The claim on a listening socket's path. Dropping it removes the path, unless a service manager
/// owns the socket.
#[derive(Debug)]
pub(crate) struct SocketGuard {
    /// The socket's path.
    pub path: PathBuf,
    /// `None` if a service manager passed the socket.
    lock: Option<Flock<File>>,
}

impl SocketGuard {
    /// Whether a service manager passed the socket, and goes on listening after this daemon.
    pub(crate) fn is_passed(&self) -> bool {
        self.lock.is_none()
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // The next daemon removes what remains.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The default path: the user's runtime directory, or the system's for root and for services
/// without a session.
pub(crate) fn default_path(root: bool, runtime_dir: Option<&Path>) -> PathBuf {
    match runtime_dir {
        Some(own) if !root && own.is_absolute() => own.join("zimaged/zimaged.sock"),
        _ => SYSTEM_SOCKET.into(),
    }
}

/// Whether a socket at `path` is for other users too: mode 0660 in a directory of 0750 instead of
/// 0600 in 0700.
pub(crate) fn is_shared(root: bool, path: &Path) -> bool {
    root || path == Path::new(SYSTEM_SOCKET)
}

/// Descriptors that a service manager passed.
#[derive(Debug, Default)]
pub(crate) struct PassedDescriptors {
    /// The socket, by socket activation.
    pub listener: Option<(UnixListener, SocketGuard)>,
    /// Retained weights that an earlier daemon put into the fd store, by their names.
    pub weights: Vec<(FdName, OwnedFd)>,
}

/// Takes the descriptors that a service manager passed, if it did.
///
/// # Errors
///
/// [`SocketError::Passed`]: more than one socket, or something that is not a Unix socket.
pub(crate) fn passed() -> Result<PassedDescriptors, SocketError> {
    let wrong = |what: &dyn std::fmt::Display| SocketError::Passed(what.to_string());
    let mut passed = PassedDescriptors::default();
    let mut sockets = Vec::new();
    for (fd, name) in sd_notify::listen_fds_with_names().map_err(|error| wrong(&error))? {
        match FdName::parse(&name) {
            Some(name) => passed.weights.push((name, take(fd))),
            None => sockets.push(take(fd)),
        }
    }
    if sockets.len() > 1 {
        return Err(wrong(&"more than one socket, but zimaged takes one"));
    }
    if let Some(socket) = sockets.pop() {
        let listener = UnixListener::from(socket);
        let address = listener.local_addr().map_err(|error| wrong(&error))?;
        let path = address.as_pathname().ok_or_else(|| wrong(&"a socket without a path"))?;
        let guard = SocketGuard { path: path.to_owned(), lock: None };
        passed.listener = Some((listener, guard));
    }
    Ok(passed)
}

#[expect(unsafe_code, reason = "a passed descriptor is only a number")]
fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: LISTEN_PID says that the descriptor was passed to this process, and nothing else
    // here takes it: this runs once, before anything is opened by that number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Listens at `path` as the only daemon.
///
/// # Errors
///
/// [`SocketError`]; no file that another program owns is changed.
pub(crate) fn claim(path: &Path, shared: bool) -> Result<(UnixListener, SocketGuard), SocketError> {
    let bytes = path.as_os_str().len();
    if bytes > PATH_MAX {
        return Err(SocketError::PathTooLong { path: path.to_owned(), bytes });
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(if shared { 0o750 } else { 0o700 })
        .create(directory)
        .map_err(|error| cannot("create", directory, error))?;
    // Checked before the lock file is created beside it.
    is_socket(path)?;
    let lock = lock(path)?;
    remove_stale(path)?;
    let listener = listen_at(path, if shared { 0o660 } else { 0o600 })
        .map_err(|error| cannot("listen at", path, error))?;
    Ok((listener, SocketGuard { path: path.to_owned(), lock: Some(lock) }))
}

/// Locks the socket's lock file, which is named like it with `.lock` appended.
fn lock(path: &Path) -> Result<Flock<File>, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    lock::lock(&name).map_err(|error| match error {
        LockError::Held(holder) => SocketError::InUse { path: path.to_owned(), holder },
        LockError::Io(error) => cannot("lock", &name, error),
    })
}

/// Whether there is a socket; an error if there is another kind of file.
fn is_socket(path: &Path) -> Result<bool, SocketError> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(true),
        Ok(_) => Err(SocketError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("look at", path, error)),
    }
}

/// Removes the socket of a dead daemon. Requires the lock.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    if !is_socket(path)? {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| cannot("remove", path, error))
        }
        Ok(_) => Err(SocketError::InUse { path: path.to_owned(), holder: String::new() }),
        Err(error) => Err(cannot("listen at", path, error)),
    }
}

/// Binds, sets the mode, then listens: no client can connect under a wrong mode.
fn listen_at(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(fd.into())
}

fn cannot(operation: &'static str, path: &Path, error: io::Error) -> SocketError {
    SocketError::Io { operation, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_default_path_is_the_users_or_the_systems() {
        let own = Some(Path::new("/run/user/1000"));
        assert_eq!(default_path(false, own), Path::new("/run/user/1000/zimaged/zimaged.sock"));
        assert_eq!(default_path(true, own), Path::new(SYSTEM_SOCKET));
        assert_eq!(default_path(false, None), Path::new(SYSTEM_SOCKET));
        assert!(is_shared(false, Path::new(SYSTEM_SOCKET)));
        assert!(!is_shared(false, Path::new("/run/user/1000/zimaged/zimaged.sock")));
    }

    #[test]
    fn modes_are_exact() {
        let directory = tempfile::tempdir().unwrap();
        for (shared, socket_mode, folder_mode) in [(false, 0o600, 0o700), (true, 0o660, 0o750)] {
            let path = directory.path().join(format!("{shared}/zimaged.sock"));
            let listening = claim(&path, shared).unwrap();
            assert_eq!(mode(&path), socket_mode);
            assert_eq!(mode(path.parent().unwrap()), folder_mode);
            assert_eq!(mode(&path.with_extension("sock.lock")), 0o600);
            UnixStream::connect(&path).unwrap();
            drop(listening);
            assert!(!path.exists());
        }
    }

    #[test]
    fn the_second_is_refused_and_the_first_keeps_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zimaged.sock");
        let first = claim(&path, false).unwrap();
        let failure = Failure::from(claim(&path, false).unwrap_err());
        assert_eq!(failure.kind, Kind::Busy);
        let pid = std::process::id();
        assert_eq!(
            failure.message,
            format!("another zimaged (process {pid}) listens at {}", path.display())
        );
        UnixStream::connect(&path).unwrap();
        drop(first);
        claim(&path, false).unwrap();
    }

    #[test]
    fn a_dead_socket_is_replaced_a_living_one_and_a_file_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let dead = directory.path().join("dead.sock");
        drop(UnixListener::bind(&dead).unwrap());
        claim(&dead, false).unwrap();

        let living = directory.path().join("living.sock");
        let _listener = UnixListener::bind(&living).unwrap();
        assert!(matches!(claim(&living, false), Err(SocketError::InUse { .. })));

        let file = directory.path().join("file.sock");
        std::fs::write(&file, "mine").unwrap();
        assert!(matches!(claim(&file, false), Err(SocketError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert!(!directory.path().join("file.sock.lock").exists());
    }

    #[test]
    fn a_long_path_is_refused_by_its_length() {
        let path = PathBuf::from(format!("/tmp/{}.sock", "x".repeat(98)));
        let failure = Failure::from(claim(&path, false).unwrap_err());
        assert!(failure.message.contains("has 108 bytes"), "{}", failure.message);
        assert_eq!(failure.kind, Kind::Config);
    }
}
