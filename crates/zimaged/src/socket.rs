//! The listening socket: where it is, whose it is, and that there is one daemon behind it.
//!
//! A lock file beside the socket is held for life, so a socket that is only slow is never taken
//! away from a living daemon, and a dead daemon's socket never stands in the way.

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
use crate::workers::retained_weights;

/// The place of a service.
const SYSTEM_SOCKET: &str = "/run/zimaged/zimaged.sock";
/// The kernel's `sun_path` without its final zero.
const PATH_MAX: usize = 107;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 64;

/// The place of a listening socket. Dropping it removes the path, unless a service manager made
/// it.
#[derive(Debug)]
pub(crate) struct Place {
    /// The path.
    pub path: PathBuf,
    /// Held for life; `None` when a service manager passed the socket.
    lock: Option<Flock<File>>,
}

impl Place {
    /// Whether a service manager passed the socket, and goes on listening after this daemon.
    pub(crate) fn is_passed(&self) -> bool {
        self.lock.is_none()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Best effort: the next daemon removes what is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where to listen when nobody says: root and services without a session listen for the whole
/// system, a user for himself.
pub(crate) fn usual_path(root: bool, runtime_dir: Option<&Path>) -> PathBuf {
    match runtime_dir {
        Some(own) if !root && own.is_absolute() => own.join("zimaged/zimaged.sock"),
        _ => SYSTEM_SOCKET.into(),
    }
}

/// Whether a socket there is for other users of the system too: 0660 in 0750 instead of 0600 in
/// 0700.
pub(crate) fn is_shared(root: bool, path: &Path) -> bool {
    root || path == Path::new(SYSTEM_SOCKET)
}

/// What a service manager passed.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// The socket, by socket activation.
    pub listener: Option<(UnixListener, Place)>,
    /// Weights that an earlier daemon stored with it, by their numbers.
    pub weights: Vec<(usize, OwnedFd)>,
}

/// What a service manager passed, if it did.
///
/// # Errors
///
/// More than one socket was passed, or something that is not a Unix socket.
pub(crate) fn passed() -> Result<Passed, Failure> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::new(Kind::Config, format!("the service manager passed {what}"))
    };
    let mut passed = Passed::default();
    let mut sockets = Vec::new();
    for (fd, name) in sd_notify::listen_fds_with_names().map_err(|error| wrong(&error))? {
        match retained_weights::number(&name) {
            Some(number) => passed.weights.push((number, take(fd))),
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
        let place = Place { path: path.to_owned(), lock: None };
        passed.listener = Some((listener, place));
    }
    Ok(passed)
}

#[expect(unsafe_code, reason = "a passed descriptor is only a number")]
fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: LISTEN_PID says that the descriptor was passed to this process, and nothing else
    // here takes it: this runs once, before anything is opened by that number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Listens at `path`, alone.
///
/// # Errors
///
/// `Busy` when another daemon has it; else what stands in the way.
pub(crate) fn claim(path: &Path, shared: bool) -> Result<(UnixListener, Place), Failure> {
    let bytes = path.as_os_str().len();
    if bytes > PATH_MAX {
        return Err(Failure::new(
            Kind::Config,
            format!(
                "the socket path has {bytes} bytes, but at most {PATH_MAX} fit: {}",
                path.display()
            ),
        ));
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(if shared { 0o750 } else { 0o700 })
        .create(folder)
        .map_err(|error| cannot("create", folder, &error))?;
    // Nothing is put beside what is somebody else's.
    is_socket(path)?;
    let lock = lock(path)?;
    clear(path)?;
    let listener = listen_at(path, if shared { 0o660 } else { 0o600 })
        .map_err(|error| cannot("listen at", path, &error))?;
    Ok((listener, Place { path: path.to_owned(), lock: Some(lock) }))
}

/// The lock file of a socket: its name with `.lock` behind it.
fn lock(path: &Path) -> Result<Flock<File>, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    lock::lock(&name).map_err(|not| match not {
        LockError::Held(who) => taken(path, &who),
        LockError::Io(error) => cannot("lock", &name, &error),
    })
}

fn taken(path: &Path, who: &str) -> Failure {
    Failure::new(Kind::Busy, format!("another zimaged{who} listens at {}", path.display()))
        .hint("use that one, stop it, or give this one another place with --socket")
}

/// Whether a socket is there; an error if anything else is.
fn is_socket(path: &Path) -> Result<bool, Failure> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(true),
        Ok(_) => Err(Failure::new(
            Kind::CannotCreate,
            format!("{} is there already and is not a socket", path.display()),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("look at", path, &error)),
    }
}

/// Removes a dead daemon's socket; call it only under the lock.
fn clear(path: &Path) -> Result<(), Failure> {
    if !is_socket(path)? {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| cannot("remove", path, &error))
        }
        Ok(_) => Err(taken(path, "")),
        Err(error) => Err(cannot("listen at", path, &error)),
    }
}

/// Binds, sets the mode, then listens: nobody can connect under a wrong mode.
fn listen_at(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(fd.into())
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::Permission,
        _ => Kind::CannotCreate,
    };
    Failure::new(kind, format!("cannot {verb} {}: {error}", path.display()))
        .hint("--socket chooses another place")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_usual_path_is_the_users_or_the_systems() {
        let own = Some(Path::new("/run/user/1000"));
        assert_eq!(usual_path(false, own), Path::new("/run/user/1000/zimaged/zimaged.sock"));
        assert_eq!(usual_path(true, own), Path::new(SYSTEM_SOCKET));
        assert_eq!(usual_path(false, None), Path::new(SYSTEM_SOCKET));
        assert!(is_shared(false, Path::new(SYSTEM_SOCKET)));
        assert!(!is_shared(false, Path::new("/run/user/1000/zimaged/zimaged.sock")));
    }

    #[test]
    fn modes_are_exact() {
        let folder = tempfile::tempdir().unwrap();
        for (shared, socket_mode, folder_mode) in [(false, 0o600, 0o700), (true, 0o660, 0o750)] {
            let path = folder.path().join(format!("{shared}/zimaged.sock"));
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zimaged.sock");
        let first = claim(&path, false).unwrap();
        let failure = claim(&path, false).unwrap_err();
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
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join("dead.sock");
        drop(UnixListener::bind(&dead).unwrap());
        claim(&dead, false).unwrap();

        let living = folder.path().join("living.sock");
        let _listener = UnixListener::bind(&living).unwrap();
        assert_eq!(claim(&living, false).unwrap_err().kind, Kind::Busy);

        let file = folder.path().join("file.sock");
        std::fs::write(&file, "mine").unwrap();
        assert_eq!(claim(&file, false).unwrap_err().kind, Kind::CannotCreate);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert!(!folder.path().join("file.sock.lock").exists());
    }

    #[test]
    fn a_long_path_is_refused_by_its_length() {
        let path = PathBuf::from(format!("/tmp/{}.sock", "x".repeat(98)));
        let failure = claim(&path, false).unwrap_err();
        assert!(failure.message.contains("has 108 bytes"), "{}", failure.message);
        assert_eq!(failure.kind, Kind::Config);
    }
}
