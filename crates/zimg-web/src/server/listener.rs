//! Listening sockets: TCP or Unix, bound here or passed by a service manager.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcp};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener as StdUnix;
use std::path::PathBuf;

use rustix::net::{AddressFamily, getsockname};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use zimg_client::{Failure, Kind};

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// For browsers.
    Tcp(TcpListener),
    /// For a proxy on this machine.
    Unix(UnixListener),
}

/// Why there is no listening socket.
#[derive(Debug)]
pub enum ListenerError {
    /// The address cannot be bound.
    Bind(SocketAddr, io::Error),
    /// The service manager passed something else than one listening socket.
    Passed(String),
}

/// A connection's bytes.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    ///
    /// The address is in use or not this machine's.
    pub fn bind(at: SocketAddr) -> Result<Self, ListenerError> {
        let bind = || {
            let socket = StdTcp::bind(at)?;
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)
        };
        bind().map(Self::Tcp).map_err(|error| ListenerError::Bind(at, error))
    }

    /// The socket that a service manager passed, if it did.
    ///
    /// # Errors
    ///
    /// It passed several, or something else.
    pub fn passed() -> Result<Option<Self>, ListenerError> {
        let wrong = |what: &dyn fmt::Display| ListenerError::Passed(what.to_string());
        let mut found = None;
        for fd in sd_notify::listen_fds().map_err(|error| wrong(&error))? {
            let socket = take(fd);
            if found.replace(socket).is_some() {
                return Err(wrong(&"more than one socket, but zimg-web takes one"));
            }
        }
        let Some(socket) = found else { return Ok(None) };
        let family = getsockname(&socket).map_err(|error| wrong(&error))?.address_family();
        let listener = match family {
            AddressFamily::INET | AddressFamily::INET6 => {
                let socket = StdTcp::from(socket);
                socket
                    .set_nonblocking(true)
                    .and_then(|()| TcpListener::from_std(socket))
                    .map(Self::Tcp)
            }
            AddressFamily::UNIX => {
                let socket = StdUnix::from(socket);
                socket
                    .set_nonblocking(true)
                    .and_then(|()| UnixListener::from_std(socket))
                    .map(Self::Unix)
            }
            _ => return Err(wrong(&"a socket that is neither TCP nor Unix")),
        };
        listener.map(Some).map_err(|error| wrong(&error))
    }

    /// The address, unless it is a path.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The path of a Unix socket.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(socket) => socket.local_addr().ok()?.as_pathname().map(Into::into),
        }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Bytes>> {
        match self {
            Self::Tcp(socket) => {
                let (stream, _) = socket.accept().await?;
                // Events are small and each is to arrive at once.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(socket) => Ok(Box::new(socket.accept().await?.0)),
        }
    }
}

/// A descriptor of the service manager.
#[expect(unsafe_code, reason = "a descriptor by its number")]
fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: sd_listen_fds(3): the descriptors that the environment names belong to this process,
    // and `listen_fds` gives each number once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

impl From<ListenerError> for Failure {
    fn from(error: ListenerError) -> Self {
        match error {
            ListenerError::Bind(at, error) => {
                Self::new(Kind::CannotCreate, format!("cannot listen at {at}: {error}"))
                    .hint("--listen chooses another address or port")
            }
            ListenerError::Passed(what) => {
                Self::new(Kind::Config, format!("the service manager passed {what}"))
            }
        }
    }
}
