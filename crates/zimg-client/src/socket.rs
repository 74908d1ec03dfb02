//! The socket's path: options, environment and defaults.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use zimg_protocol::{Failure, Kind};

/// The socket of the system's service.
pub const SYSTEM: &str = "/run/zimaged/zimaged.sock";
/// The environment variable that names the socket.
pub const VARIABLE: &str = "ZIMG_SOCKET";
/// The longest path of a Unix socket in bytes (unix(7): 108 with the final zero).
pub const PATH_BYTES: usize = 107;

/// The socket's path: `explicit`, else `ZIMG_SOCKET`, else
/// `$XDG_RUNTIME_DIR/zimaged/zimaged.sock` if that exists, else [`SYSTEM`].
///
/// # Errors
///
/// `Kind::Usage` when the path is longer than a socket's path can be.
pub fn find(explicit: Option<&Path>) -> Result<PathBuf, Failure> {
    choose(explicit, |name| env::var_os(name), Path::exists)
}

/// The socket of a daemon that the user runs, if there is a runtime directory.
pub fn user() -> Option<PathBuf> {
    of_user(|name| env::var_os(name))
}

fn of_user(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let runtime = variable("XDG_RUNTIME_DIR").filter(|value| !value.is_empty())?;
    Some(Path::new(&runtime).join("zimaged/zimaged.sock"))
}

fn choose(
    explicit: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    exists: impl Fn(&Path) -> bool,
) -> Result<PathBuf, Failure> {
    let named = || variable(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = explicit
        .map(Path::to_owned)
        .or_else(named)
        .or_else(|| of_user(&variable).filter(|path| exists(path)))
        .unwrap_or_else(|| SYSTEM.into());
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > PATH_BYTES {
        let message = format!(
            "the socket path {} has {bytes} bytes, but at most {PATH_BYTES} are possible",
            path.display()
        );
        return Err(Failure::new(Kind::Usage, message));
    }
    Ok(path)
}

/// The hint for a refused connection to `path`. If the socket itself cannot be examined, its
/// directory's group and mode decide.
pub fn how_to_be_allowed(path: &Path) -> &'static str {
    let found = fs::metadata(path).or_else(|_| fs::metadata(path.parent().unwrap_or(path)));
    match found {
        Ok(found) if !is_for_group(found.gid(), found.mode()) => {
            "it serves only the user that started it: run `zimaged` as yourself, or as a service"
        }
        _ => "join its group with `sudo usermod -aG zimaged $USER`, then log in again",
    }
}

/// Whether a socket or directory of this group and mode is for a group of users.
fn is_for_group(gid: u32, mode: u32) -> bool {
    gid != 0 && mode & 0o070 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "/run/user/7/zimaged/zimaged.sock";

    fn chosen(
        flag: Option<&str>,
        socket: Option<&str>,
        runtime: Option<&str>,
        user: bool,
    ) -> String {
        let variable = |name: &str| match name {
            "ZIMG_SOCKET" => socket.map(OsString::from),
            "XDG_RUNTIME_DIR" => runtime.map(OsString::from),
            other => panic!("{other} is not looked at"),
        };
        let exists = |path: &Path| user && path == Path::new(USER);
        choose(flag.map(Path::new), variable, exists).unwrap().display().to_string()
    }

    #[test]
    fn the_option_comes_before_the_environment_and_the_default() {
        let runtime = Some("/run/user/7");
        assert_eq!(chosen(Some("/a"), Some("/b"), runtime, true), "/a");
        assert_eq!(chosen(None, Some("/b"), runtime, true), "/b");
        assert_eq!(chosen(None, Some(""), runtime, true), USER);
        assert_eq!(chosen(None, None, runtime, false), SYSTEM);
        assert_eq!(chosen(None, None, Some(""), true), SYSTEM);
        assert_eq!(chosen(None, None, None, true), SYSTEM);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_said_clearly() {
        let fits = format!("/{}", "x".repeat(106));
        assert_eq!(chosen(Some(&fits), None, None, false), fits);
        let long = PathBuf::from(format!("/{}", "x".repeat(107)));
        let failure = choose(Some(&long), |_| None, |_| false).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage);
        assert!(failure.message.ends_with("has 108 bytes, but at most 107 are possible"));
    }

    #[test]
    fn only_a_groups_socket_is_joined() {
        assert!(is_for_group(970, 0o140_660) && is_for_group(970, 0o040_750));
        assert!(!is_for_group(0, 0o140_660), "root started it by hand");
        assert!(!is_for_group(1000, 0o140_600) && !is_for_group(1000, 0o040_700), "a user's own");
    }
}
