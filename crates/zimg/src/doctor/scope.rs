//! Which daemon is examined: the system's service, the user's own, or one at another socket.

use std::path::Path;

use zimg_client::service::Service;
use zimg_client::socket;

/// The daemon that is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DaemonScope {
    /// The system's service.
    System,
    /// The user's own daemon, as a service or from a terminal.
    User,
    /// A daemon with another socket.
    ByHand,
}

impl DaemonScope {
    /// From the socket's path, and from the installed services if no socket exists.
    pub(super) fn of(path: &Path, service: &Service) -> Self {
        if path != Path::new(socket::SYSTEM) {
            let is_own = socket::user().is_some_and(|own| own == path);
            return if is_own { Self::User } else { Self::ByHand };
        }
        let system = service.system.is_some() || service.supervisord.is_some() || path.exists();
        if system || service.user.is_none() { Self::System } else { Self::User }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_daemon_it_is_shows_in_the_socket_and_in_what_is_installed() {
        let system = Path::new(socket::SYSTEM);
        let unit = || Some("/u".into());
        let nothing = Service::default();
        assert_eq!(DaemonScope::of(Path::new("/tmp/x"), &nothing), DaemonScope::ByHand);
        if !system.exists() {
            let user = Service { user: unit(), ..Service::default() };
            assert_eq!(DaemonScope::of(system, &user), DaemonScope::User);
            assert_eq!(DaemonScope::of(system, &nothing), DaemonScope::System);
            let both = Service { system: unit(), ..user };
            assert_eq!(DaemonScope::of(system, &both), DaemonScope::System);
        }
    }
}
