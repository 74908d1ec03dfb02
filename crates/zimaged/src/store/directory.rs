//! The state directory: its default path, its lock and file names, and moving damaged files aside.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use super::database;
use super::error::StoreError;
use super::sync::{restrict, sync, sync_parent};
use crate::events;
use crate::lock::{self, LockError};

const SYSTEM_DIRECTORY: &str = "/var/lib/zimaged";
const DATABASE: &str = "jobs.sqlite";
/// Named so by zimaged 0.1, whose directories are read.
const IMAGES: &str = "pictures";
const LOCK: &str = "lock";
const RESERVE: &str = "reserve";

/// The default state directory: the service manager's, else the system's for root, else the
/// user's. A user without a home has none.
pub(crate) fn default_path(
    root: bool,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let absolute =
        |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let by_manager = environment("STATE_DIRECTORY").and_then(|list| {
        // systemd.exec(5): several are separated by colons; the unit has one.
        std::env::split_paths(&list).next().filter(|path| path.is_absolute())
    });
    by_manager.or_else(|| match root {
        true => Some(SYSTEM_DIRECTORY.into()),
        false => absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/state")))
            .map(|state| state.join("zimaged")),
    })
}

/// A state directory, locked until this is dropped.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDirectory {
    /// Creates the directory if it is missing, restricts it to its owner, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        create(path)?;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            let restricted = restrict(path, 0o700)?;
            if !restricted {
                tracing::warn!(
                    event = events::STORE_IS_READABLE,
                    "the file system of {} has no modes: other users may read the jobs there",
                    path.display()
                );
            }
        }
        let lock = lock::lock(&path.join(LOCK)).map_err(|error| match error {
            LockError::Held(holder) => StoreError::Locked(holder),
            LockError::Io(error) => StoreError::Io(error),
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

    /// Whether there are image files without a database.
    pub(super) fn has_orphaned_images(&self) -> io::Result<bool> {
        Ok(!self.database().try_exists()?
            && self.images().try_exists()?
            && fs::read_dir(self.images())?.next().is_some())
    }

    /// Renames the database, its journal and the image directory to names that are not in use
    /// (`jobs.sqlite.corrupt-…`, `pictures.corrupt-…`). Returns the first of the new paths.
    pub(super) fn move_aside(&self, unix_s: u64) -> io::Result<PathBuf> {
        let renamed = |count: u32| {
            let suffix = match count {
                0 => format!("corrupt-{unix_s}"),
                _ => format!("corrupt-{unix_s}-{count}"),
            };
            [DATABASE, IMAGES].map(|name| self.path.join(format!("{name}.{suffix}")))
        };
        let mut count = 0;
        while renamed(count).iter().any(|path| path.symlink_metadata().is_ok()) {
            count += 1;
        }
        let [database, images] = renamed(count);
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
        sync(&File::open(&self.path)?)?;
        Ok(if database.symlink_metadata().is_ok() { database } else { images })
    }
}

/// Creates a directory with its parents, and syncs them so that a power failure cannot undo it.
fn create(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|directory| !directory.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    missing.into_iter().try_for_each(sync_parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(root: bool, environment: &[(&str, &str)]) -> Option<PathBuf> {
        default_path(root, |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn jobs_are_stored_where_the_system_or_the_user_keeps_state() {
        let all = [("STATE_DIRECTORY", "/s/a:/s/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/home/u")];
        assert_eq!(found(true, &all), Some("/s/a".into()));
        assert_eq!(found(false, &all), Some("/s/a".into()));
        assert_eq!(found(true, &all[1..]), Some("/var/lib/zimaged".into()));
        assert_eq!(found(false, &all[1..]), Some("/x/zimaged".into()));
        assert_eq!(found(false, &all[2..]), Some("/home/u/.local/state/zimaged".into()));
        assert_eq!(found(false, &[("XDG_STATE_HOME", "x"), ("HOME", "")]), None);
    }
}
