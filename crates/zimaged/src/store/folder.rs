//! The folder that jobs are kept in: where it is, that it is ours alone, and what is moved aside.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use super::database;
use super::trouble::Trouble;
use crate::lock::{self, NotLocked};

const SYSTEM: &str = "/var/lib/zimaged";
const DATABASE: &str = "jobs.sqlite";
const IMAGES: &str = "pictures";
const LOCK: &str = "lock";
const RESERVE: &str = "reserve";

/// Where jobs are kept when nobody says: where the service manager has it, else for root the
/// system's place, else the user's own; nowhere for a user without a home.
pub(crate) fn usual(root: bool, environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute =
        |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let by_manager = environment("STATE_DIRECTORY").and_then(|list| {
        // systemd.exec(5): of several they are separated by colons; ours is one.
        std::env::split_paths(&list).next().filter(|path| path.is_absolute())
    });
    by_manager.or_else(|| match root {
        true => Some(SYSTEM.into()),
        false => absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/state")))
            .map(|state| state.join("zimaged")),
    })
}

/// A folder, ours until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Folder {
    /// Makes the folder if need be, for its owner's eyes only, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        create(path)?;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        let lock = lock::lock(&path.join(LOCK)).map_err(|not| match not {
            NotLocked::Held(who) => Trouble::Held(who),
            NotLocked::Io(error) => Trouble::Io(error),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn images(&self) -> PathBuf {
        self.path.join(IMAGES)
    }

    pub(super) fn reserve(&self) -> PathBuf {
        self.path.join(RESERVE)
    }

    /// Whether there are images of jobs that there is no database of.
    pub(super) fn is_beheaded(&self) -> io::Result<bool> {
        Ok(!self.database().try_exists()?
            && self.images().try_exists()?
            && fs::read_dir(self.images())?.next().is_some())
    }

    /// Gives everything that is kept another name, which nothing has had: `jobs.sqlite.corrupt-…`
    /// with its journal, and `images.corrupt-…`. Says what the first of them is called.
    pub(super) fn move_aside(&self, unix_s: u64) -> io::Result<PathBuf> {
        let place = |count: u32| {
            let mark = match count {
                0 => format!("corrupt-{unix_s}"),
                _ => format!("corrupt-{unix_s}-{count}"),
            };
            [DATABASE, IMAGES].map(|name| self.path.join(format!("{name}.{mark}")))
        };
        let mut count = 0;
        while place(count).iter().any(|path| path.symlink_metadata().is_ok()) {
            count += 1;
        }
        let [database, images] = place(count);
        let moves = [
            (self.database(), database.clone()),
            (database::journal(&self.database()), database::journal(&database)),
            (self.images(), images.clone()),
        ];
        for (from, to) in &moves {
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        File::open(&self.path)?.sync_all()?;
        Ok(if database.symlink_metadata().is_ok() { database } else { images })
    }
}

/// Makes a folder and those above it, so that a loss of power does not take them away again.
fn create(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    missing.into_iter().try_for_each(super::sync_folder_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(root: bool, environment: &[(&str, &str)]) -> Option<PathBuf> {
        usual(root, |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn jobs_lie_where_the_system_or_the_user_keeps_state() {
        let all = [("STATE_DIRECTORY", "/s/a:/s/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/home/u")];
        assert_eq!(found(true, &all), Some("/s/a".into()));
        assert_eq!(found(false, &all), Some("/s/a".into()));
        assert_eq!(found(true, &all[1..]), Some("/var/lib/zimaged".into()));
        assert_eq!(found(false, &all[1..]), Some("/x/zimaged".into()));
        assert_eq!(found(false, &all[2..]), Some("/home/u/.local/state/zimaged".into()));
        assert_eq!(found(false, &[("XDG_STATE_HOME", "x"), ("HOME", "")]), None);
    }
}
