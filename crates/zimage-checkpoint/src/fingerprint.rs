//! File fingerprints: two equal ones mean the same file with the same bytes.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The identity and state of a file when it was opened.
///
/// A write changes the file's change time (ctime), which no program can set back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFingerprint {
    /// The path with links resolved.
    path: String,
    bytes: u64,
    device: u64,
    inode: u64,
    /// mtime and ctime: seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileFingerprint {
    /// The fingerprint of an open file.
    pub fn of(path: &Path, metadata: &Metadata) -> Self {
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

    /// The fingerprint of `bytes` bytes inside this program: that of the program's own file, which is
    /// not read for it.
    pub(crate) fn of_program(label: &str, bytes: u64) -> Self {
        let program = Path::new("/proc/self/exe");
        let own = program.metadata().map(|found| Self::of(program, &found)).unwrap_or_default();
        Self { path: format!("{} in {}", label, own.path), bytes, ..own }
    }

    /// Whether it identifies a file: without /proc a program cannot identify its own.
    pub fn is_known(&self) -> bool {
        self.inode != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(path: &Path) -> FileFingerprint {
        FileFingerprint::of(path, &path.metadata().unwrap())
    }

    #[test]
    fn a_link_has_the_fingerprint_of_its_file_and_a_copy_another() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, copy] = ["file", "link", "copy"].map(|name| folder.path().join(name));
        fs::write(&file, "0123").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::copy(&file, &copy).unwrap();
        assert_eq!(fingerprint(&file), fingerprint(&link));
        assert_ne!(fingerprint(&file), fingerprint(&copy));
        assert!(fingerprint(&file).is_known());
    }

    #[test]
    fn setting_mtime_back_changes_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "0123").unwrap();
        let before = fingerprint(&path);
        let modified = path.metadata().unwrap().modified().unwrap();
        // File times have a resolution of some milliseconds: until ctime has changed.
        while fingerprint(&path).changed == before.changed {
            fs::write(&path, "4567").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(fingerprint(&path).modified, before.modified);
        assert_ne!(fingerprint(&path), before);
    }

    #[test]
    fn embedded_files_have_the_fingerprint_of_the_program() {
        let one = FileFingerprint::of_program("tiny/vae", 10);
        assert!(one.is_known());
        assert_eq!(one, FileFingerprint::of_program("tiny/vae", 10));
        assert_ne!(one, FileFingerprint::of_program("tiny/text_encoder", 10));
    }
}
