//! Which file it is, and in which state: what must be the same for its bytes to be the same.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A file as it was when it was opened.
///
/// Who writes into a file changes its time of change, which nobody can set back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Its path without links.
    path: String,
    bytes: u64,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds of the last change of its bytes, and of its bytes or its metadata.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of an open file.
    pub(super) fn of(path: &Path, metadata: &Metadata) -> Self {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Self {
            path: path.display().to_string(),
            bytes: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// That of `bytes` bytes inside this program: the program's own file says when they change, and
    /// need not be read for that.
    pub(super) fn of_program(label: &str, bytes: u64) -> Self {
        let program = Path::new("/proc/self/exe");
        let stamp = program.metadata().map(|found| Self::of(program, &found)).unwrap_or_default();
        Self { path: format!("{} in {}", label, stamp.path), bytes, ..stamp }
    }

    /// Whether it says which file it is: without /proc a program does not know its own.
    pub(super) fn is_known(&self) -> bool {
        self.inode != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(path, &path.metadata().unwrap())
    }

    #[test]
    fn a_link_is_its_file_and_a_copy_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, copy] = ["file", "link", "copy"].map(|name| folder.path().join(name));
        fs::write(&file, "0123").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::copy(&file, &copy).unwrap();
        assert_eq!(stamp(&file), stamp(&link));
        assert_ne!(stamp(&file), stamp(&copy));
        assert!(stamp(&file).is_known());
    }

    #[test]
    fn a_file_with_its_time_set_back_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "0123").unwrap();
        let before = stamp(&path);
        let modified = path.metadata().unwrap().modified().unwrap();
        // Clocks of files go by ticks of some milliseconds: until one has passed.
        while stamp(&path).changed == before.changed {
            fs::write(&path, "4567").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(stamp(&path).modified, before.modified);
        assert_ne!(stamp(&path), before);
    }

    #[test]
    fn a_program_knows_its_own_file() {
        let one = Stamp::of_program("tiny/vae", 10);
        assert!(one.is_known());
        assert_eq!(one, Stamp::of_program("tiny/vae", 10));
        assert_ne!(one, Stamp::of_program("tiny/text_encoder", 10));
    }
}
