//! Installed services: how a daemon is started on this machine.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::socket;

/// Where systemd looks for the system's units, and `make install` puts them.
const SYSTEM_UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Where systemd looks for units of every user.
const USER_UNITS: [&str; 4] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
];
/// Where supervisord includes programs from, as distributions have it.
const SUPERVISORD: [&str; 2] =
    ["/etc/supervisor/conf.d/zimaged.conf", "/etc/supervisord.d/zimaged.ini"];
const UNIT: &str = "zimaged.service";

/// The ways to start a daemon on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The system's unit, if systemd runs here.
    pub system: Option<PathBuf>,
    /// The user's unit, if systemd runs here.
    pub user: Option<PathBuf>,
    /// supervisord's configuration of the program.
    pub supervisord: Option<PathBuf>,
    /// The program: beside this one, or in `PATH`.
    pub program: Option<PathBuf>,
}

impl Service {
    /// Finds them.
    pub fn find() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
        Self::under(Path::new("/"), variable, beside)
    }

    /// Finds them under a root directory.
    fn under(
        root: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
        beside: Option<PathBuf>,
    ) -> Self {
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let home = variable("HOME").map(PathBuf::from);
        let own = |name: &str, usual: &str| {
            let usual = home.as_ref().map(|home| home.join(usual));
            variable(name).map(PathBuf::from).or(usual).map(|folder| folder.join("systemd/user"))
        };
        let own = [own("XDG_CONFIG_HOME", ".config"), own("XDG_DATA_HOME", ".local/share")];
        let systemd = at("/run/systemd/system").is_dir();
        let unit = |folders: &mut dyn Iterator<Item = PathBuf>| {
            // A dangling link, to where it was built, is a unit too.
            let found = folders.map(|folder| folder.join(UNIT));
            found.filter(|_| systemd).find(|path| fs::symlink_metadata(path).is_ok())
        };
        let path = variable("PATH").unwrap_or_default();
        Self {
            system: unit(&mut SYSTEM_UNITS.map(at).into_iter()),
            user: unit(&mut own.into_iter().flatten().chain(USER_UNITS.map(at))),
            supervisord: SUPERVISORD.map(at).into_iter().find(|path| path.exists()),
            program: beside
                .into_iter()
                .chain(env::split_paths(&path))
                .map(|folder| folder.join("zimaged"))
                .find(|path| path.is_file()),
        }
    }

    /// What to type to start a daemon that listens at `path`.
    pub fn how_to_start(&self, path: &Path) -> String {
        let is_system = path == Path::new(socket::SYSTEM);
        let is_user = socket::user().is_some_and(|own| own == path);
        if !is_system && !is_user {
            return format!("start it with `zimaged --socket {}`", path.display());
        }
        if is_system && self.system.is_some() {
            return "start it with `sudo systemctl start zimaged`".to_owned();
        }
        // Without any daemon the default is the system's socket, but a user's would be found.
        if self.user.is_some() {
            return "start it with `systemctl --user start zimaged`".to_owned();
        }
        if is_system && self.supervisord.is_some() {
            return "start it with `sudo supervisorctl start zimaged`".to_owned();
        }
        if self.program.is_none() {
            return "zimaged is neither beside this program nor in PATH: install it with `make \
                    install`, or look with `zimg doctor`"
                .to_owned();
        }
        "start it with `zimaged &`, or in another terminal".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, file: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn found(root: &Path) -> Service {
        let variable = |name: &str| match name {
            "HOME" => Some(root.join("home/u").into_os_string()),
            "PATH" => Some(root.join("bin").into_os_string()),
            _ => None,
        };
        Service::under(root, variable, Some(root.join("beside")))
    }

    #[test]
    fn what_is_installed_is_found_where_it_may_lie() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(found(root), Service::default());
        touch(root, "usr/local/lib/systemd/system/zimaged.service");
        touch(root, "home/u/.config/systemd/user/zimaged.service");
        assert_eq!(found(root), Service::default(), "without systemd a unit is of no use");
        fs::create_dir_all(root.join("run/systemd/system")).unwrap();
        touch(root, "bin/zimaged");
        let service = found(root);
        assert!(service.system.unwrap().ends_with("usr/local/lib/systemd/system/zimaged.service"));
        assert!(service.user.unwrap().ends_with(".config/systemd/user/zimaged.service"));
        assert_eq!(service.program, Some(root.join("bin/zimaged")));
        touch(root, "beside/zimaged");
        assert_eq!(found(root).program, Some(root.join("beside/zimaged")));
        touch(root, "etc/supervisor/conf.d/zimaged.conf");
        assert!(found(root).supervisord.is_some());
    }

    #[test]
    fn the_hint_is_what_to_type_here() {
        let some = || Some(PathBuf::from("/there"));
        let system = Path::new(socket::SYSTEM);
        let says = |service: &Service, path: &Path| service.how_to_start(path);
        let nothing = Service::default();
        assert!(says(&nothing, system).contains("neither beside this program nor in PATH"));
        let by_hand = Service { program: some(), ..nothing };
        assert_eq!(says(&by_hand, system), "start it with `zimaged &`, or in another terminal");
        let elsewhere = "start it with `zimaged --socket /a/b`";
        assert_eq!(says(&by_hand, Path::new("/a/b")), elsewhere);
        let supervised = Service { supervisord: some(), ..by_hand };
        assert!(says(&supervised, system).contains("`sudo supervisorctl start zimaged`"));
        let user = Service { user: some(), ..supervised };
        assert!(says(&user, system).contains("`systemctl --user start zimaged`"));
        let all = Service { system: some(), ..user };
        assert!(says(&all, system).contains("`sudo systemctl start zimaged`"));
        assert_eq!(says(&all, Path::new("/a/b")), elsewhere);
    }
}
