//! Rescue of an image that cannot be saved where it was to go: the first folder that takes it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::place::{place, write};

/// The folder in the user's state and data folders.
const UNSAVED: &str = "zimg/unsaved";
/// Names that are tried in a folder.
const NAMES: u32 = 1000;

/// Saves an image that was to be `name` in the user's state folder, else in the data folder, else
/// among the temporary files. Returns its path, or the folders that do not take it either.
pub(super) fn rescue(name: &OsStr, bytes: &[u8]) -> Result<PathBuf, Vec<PathBuf>> {
    rescue_to(Folders::of(|name| env::var_os(name)), name, bytes)
}

/// Where an image may go, in this order.
struct Folders {
    /// The user's own, which are created.
    own: Vec<PathBuf>,
    /// Those for temporary files, which other users write to.
    shared: Vec<PathBuf>,
}

impl Folders {
    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let absolute =
            |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = |name: &str| absolute("HOME").map(|home| home.join(name));
        let state = absolute("XDG_STATE_HOME").or_else(|| home(".local/state"));
        let data = absolute("XDG_DATA_HOME").or_else(|| home(".local/share"));
        let temporary = absolute("TMPDIR").into_iter().chain(["/tmp".into(), "/var/tmp".into()]);
        Self {
            own: [state, data].into_iter().flatten().map(|path| path.join(UNSAVED)).collect(),
            shared: temporary.collect(),
        }
    }
}

fn rescue_to(folders: Folders, name: &OsStr, bytes: &[u8]) -> Result<PathBuf, Vec<PathBuf>> {
    let name = if name.is_empty() { OsStr::new("image") } else { name };
    let own = folders.own.iter().find_map(|folder| in_own(folder, name, bytes));
    own.or_else(|| folders.shared.iter().find_map(|folder| in_shared(folder, name, bytes)))
        .ok_or_else(|| folders.own.into_iter().chain(folders.shared).collect())
}

/// Under the first name that is free: `fox.png`, `fox-2.png` and so on.
fn in_own(folder: &Path, name: &OsStr, bytes: &[u8]) -> Option<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
    for number in 1..=NAMES {
        let path = folder.join(numbered(name, number));
        match place(&path, bytes, false) {
            Ok(()) => return Some(path),
            Err(error) if error.is_taken() => {}
            Err(_) => return None,
        }
    }
    None
}

/// Under a name that cannot be foreseen, readable for this user only.
fn in_shared(folder: &Path, name: &OsStr, bytes: &[u8]) -> Option<PathBuf> {
    let mut suffix = OsString::from("-");
    suffix.push(name);
    let temporary = tempfile::Builder::new()
        .prefix("zimg-")
        .suffix(&suffix)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .ok()?;
    let (file, path) = temporary.into_parts();
    write(file, bytes).ok()?;
    path.keep().ok()
}

fn numbered(name: &OsStr, number: u32) -> OsString {
    if number == 1 {
        return name.to_owned();
    }
    let bytes = name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.').unwrap_or(bytes.len());
    let number = format!("-{number}");
    OsString::from_vec([&bytes[..dot], number.as_bytes(), &bytes[dot..]].concat())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_folder_that_takes_it_has_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("tmp")).unwrap();
        let folders = |own: &[&str], shared: &[&str]| Folders {
            own: own.iter().map(|name| at(name)).collect(),
            shared: shared.iter().map(|name| at(name)).collect(),
        };
        let name = OsStr::new("fox.png");
        let saved = rescue_to(folders(&["file/no", "data/zimg"], &["tmp"]), name, b"1").unwrap();
        assert_eq!(saved, at("data/zimg/fox.png"));
        let saved = rescue_to(folders(&["data/zimg"], &[]), name, b"2").unwrap();
        assert_eq!(saved, at("data/zimg/fox-2.png"));
        assert_eq!(fs::read(at("data/zimg/fox.png")).unwrap(), b"1");
        let saved = rescue_to(folders(&["file/no"], &["none", "tmp"]), name, b"3").unwrap();
        assert_eq!((saved.parent(), fs::read(&saved).unwrap()), (Some(&*at("tmp")), b"3".into()));
        assert_eq!(fs::metadata(&saved).unwrap().permissions().mode() & 0o777, 0o600);
        let tried = rescue_to(folders(&["file/no"], &["none"]), name, b"4").unwrap_err();
        assert_eq!(tried, [at("file/no"), at("none")]);
    }

    #[test]
    fn folders_are_the_users_before_those_of_all() {
        let folders = |given: &[(&str, &str)]| {
            Folders::of(|name| Some(given.iter().find(|pair| pair.0 == name)?.1.into()))
        };
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let of = folders(&[("HOME", "/h"), ("TMPDIR", "/t")]);
        assert_eq!(
            of.own,
            paths(&["/h/.local/state/zimg/unsaved", "/h/.local/share/zimg/unsaved"])
        );
        assert_eq!(of.shared, paths(&["/t", "/tmp", "/var/tmp"]));
        let of = folders(&[("HOME", ""), ("XDG_STATE_HOME", "/s"), ("XDG_DATA_HOME", "d")]);
        assert_eq!(of.own, paths(&["/s/zimg/unsaved"]));
    }
}
