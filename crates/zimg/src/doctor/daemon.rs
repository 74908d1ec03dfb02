//! Checks of the socket: its type, modes and owners, and the daemon that answers at it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use zimg_client::{Client, Failure, Kind, WorkerState, socket};
use zimg_text::shell_word;

use super::finding::Finding;
use crate::daemon_state::DaemonState;
use crate::format;
use crate::version::PROGRAM;

/// Write permission of others.
const ANYBODY: u32 = 0o002;
/// The sticky bit: only the owner of a file may remove it.
const STICKY: u32 = 0o1000;

/// Checks the socket and asks the daemon for its state.
pub(super) fn look(path: &Path) -> (Vec<Finding>, Option<DaemonState>) {
    let mut findings = vec![socket(path)];
    let seen = Client::connect(PROGRAM, path).and_then(|mut client| DaemonState::ask(&mut client));
    findings.push(match &seen {
        Ok(seen) => answers(seen),
        Err(failure) => Finding {
            kind: if failure.kind == Kind::Config { Kind::Config } else { Kind::Unavailable },
            ..Finding::fail("daemon", &*failure.message, hint(failure))
        },
    });
    (findings, seen.ok())
}

fn hint(failure: &Failure) -> String {
    let usual = "read its log: `journalctl -u zimaged`, or the terminal it runs in";
    failure.hint.clone().unwrap_or_else(|| usual.to_owned())
}

/// Checks the socket and its directory: modes and owners.
fn socket(path: &Path) -> Finding {
    const TOPIC: &str = "socket";
    let folder = path.parent().unwrap_or(path);
    if let Some(closed) = closed(path) {
        let text = format!("no permission to read {}", closed.display());
        return Finding::fail(TOPIC, text, socket::how_to_be_allowed(path));
    }
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("there is no socket at {}", path.display());
            return Finding::warn(TOPIC, text, "the daemon creates it when it starts");
        }
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            return Finding::fail(TOPIC, text, socket::how_to_be_allowed(path));
        }
    };
    if !found.file_type().is_socket() {
        let text = format!("{} is not a socket", path.display());
        return Finding::wrong(TOPIC, text, "name the daemon's with --socket or ZIMG_SOCKET");
    }
    let inside = fs::metadata(folder).ok();
    let place = inside.as_ref().map(|folder| format!(" in {}", owner(folder))).unwrap_or_default();
    let text = format!("{}, {}{place}", path.display(), owner(&found));
    let loose = |mode: u32| mode & ANYBODY != 0 && mode & STICKY == 0;
    if let Some(folder_mode) = inside.map(|folder| folder.mode()).filter(|mode| loose(*mode)) {
        let fix = format!("`chmod o-w {}`", shell_word(folder));
        let text = format!("{text}: every user can replace the socket ({folder_mode:o})");
        return Finding::warn(TOPIC, text, fix);
    }
    if found.mode() & ANYBODY != 0 {
        let fix = format!("`chmod o-w {}`, unless that is meant", shell_word(path));
        return Finding::warn(TOPIC, format!("{text}: every user can use it"), fix);
    }
    if ![0, nix::unistd::geteuid().as_raw()].contains(&found.uid()) && !is_services(&found) {
        let fix = "check that you trust that user: the owner of the socket sees your prompts";
        return Finding::warn(TOPIC, format!("{text}: it belongs to another user"), fix);
    }
    Finding::ok(TOPIC, text)
}

/// Whether a file belongs to the user of the service.
fn is_services(found: &Metadata) -> bool {
    let user = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
    user.is_some_and(|user| user.name == "zimaged")
}

/// The first directory of the path that this user cannot search.
fn closed(path: &Path) -> Option<&Path> {
    let mut way: Vec<_> = path.ancestors().collect();
    way.reverse();
    let hidden = |path: &Path| {
        fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
    };
    way.into_iter().find(|path| hidden(path))?.parent()
}

/// `0660 zimaged:zimaged`
fn owner(found: &Metadata) -> String {
    let user = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
    let user = user.map_or_else(|| found.uid().to_string(), |user| user.name);
    let group = group.map_or_else(|| found.gid().to_string(), |group| group.name);
    format!("{:04o} {user}:{group}", found.mode() & 0o7777)
}

fn answers(seen: &DaemonState) -> Finding {
    const TOPIC: &str = "daemon";
    let status = seen.status();
    let failed = status.workers.iter().find_map(|worker| match &worker.state {
        WorkerState::Failed(failure) => Some(failure),
        _ => None,
    });
    if let Some(failure) = failed {
        let text = format!("its worker failed: {}", failure.message);
        let kind = if failure.kind == Kind::Config { Kind::Config } else { Kind::Unavailable };
        return Finding { kind, ..Finding::fail(TOPIC, text, hint(failure)) };
    }
    let state = format::worker(&status.first_worker().state);
    let text = format!("{state}, pid {}, up {}", status.pid, format::uptime(status.uptime_s));
    if status.version != env!("CARGO_PKG_VERSION") {
        let text = format!("{text}, but it is zimaged {}", status.version);
        let fix = "install zimg and zimaged from one build, then restart zimaged";
        return Finding::warn(TOPIC, text, fix);
    }
    let restarted = status.workers.iter().find_map(|worker| {
        Some((worker.restarts, worker.last_error.as_ref().filter(|_| worker.restarts > 0)?))
    });
    match restarted {
        Some((restarts, error)) => {
            let text = format!("{text}; its worker was restarted {restarts} times: {error}");
            Finding::warn(TOPIC, text, "see its log: `journalctl -u zimaged`")
        }
        None => Finding::ok(TOPIC, text),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::doctor::finding::Level;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn modes_say_who_may_what() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let none = socket(&path);
        assert_eq!((none.level, none.fix.is_some()), (Level::Warn, true), "{none:?}");
        let _listener = UnixListener::bind(&path).unwrap();
        mode(folder.path(), 0o700);
        mode(&path, 0o600);
        let good = socket(&path);
        assert_eq!(good.level, Level::Ok, "{good:?}");
        assert!(good.text.contains(", 0600 ") && good.text.contains(" in 0700 "), "{good:?}");
        mode(&path, 0o666);
        assert!(socket(&path).text.ends_with("every user can use it"));
        mode(folder.path(), 0o777);
        let loose = socket(&path);
        assert!(loose.text.contains("every user can replace the socket"), "{loose:?}");
        mode(folder.path(), 0o1777);
        assert!(socket(&path).text.ends_with("every user can use it"));
        let file = folder.path().join("f");
        fs::write(&file, "").unwrap();
        assert_eq!(socket(&file).kind, Kind::Config);
    }
}
