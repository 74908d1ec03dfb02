//! The version of zimg, and the program name that it sends to the daemon.

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Program name and version in the hello: a daemon of another protocol version names it in its log.
pub(crate) const PROGRAM: &str = concat!("zimg ", env!("CARGO_PKG_VERSION"));
