//! Detached jobs on the disk: what was accepted is there after any crash, until it is fetched or
//! has expired.

mod database;
mod folder;
mod images;
mod record;
mod reserve;
mod shelf;
mod thread;
mod trouble;

use std::fs::File;
use std::io;
use std::path::Path;

pub(crate) use self::database::jobs_in;
pub(crate) use self::folder::usual as usual_folder;
pub(crate) use self::record::{End, Record, StoredImage};
pub(crate) use self::shelf::Found;
pub(crate) use self::thread::{Answer, Ask, Store, Unread};

/// Puts a folder's entries on the disk: the one that `path` lies in.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests;
