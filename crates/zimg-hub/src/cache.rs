//! The Hugging Face cache: blobs by checksum, snapshots of links to them, refs, locks.
//!
//! The layout is that of huggingface_hub (`docs/source/en/guides/manage-cache.md` there):
//!
//! ```text
//! models--OWNER--NAME/blobs/CHECKSUM            a file's content
//!                     blobs/CHECKSUM.incomplete its beginning
//!                     snapshots/COMMIT/PATH     a link to ../../blobs/CHECKSUM
//!                     refs/REVISION             the commit
//! .locks/models--OWNER--NAME/CHECKSUM.lock      held while a blob is written
//! ```

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use zimage_checkpoint::hugging_face;

use crate::digest::ContentHash;
use crate::error::{Error, Result};
use crate::names::{Commit, FilePath, Repository, Revision};

/// What tells backup programs that the folder can be fetched again (<https://bford.info/cachedir/>).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of models from the Hugging Face Hub.\n";

/// A cache of repositories.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// A repository's part of a cache.
#[derive(Clone, Debug)]
pub struct CachedRepository {
    cache: PathBuf,
    folder: PathBuf,
    locks: PathBuf,
}

/// The lock of a blob, until it is dropped.
#[derive(Debug)]
pub(crate) struct BlobLock {
    /// None where the file system has no locks.
    _file: Option<File>,
}

impl Cache {
    /// The cache that the environment names.
    ///
    /// # Errors
    /// `NoHome`: no variable leads to it.
    pub fn find() -> Result<Self> {
        hugging_face::cache(&|name: &str| env::var_os(name)).map(Self::at).ok_or(Error::NoHome)
    }

    /// The cache in this folder.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A repository's part of it.
    pub fn repository(&self, repository: &Repository) -> CachedRepository {
        let name = repository.folder();
        CachedRepository {
            cache: self.root.clone(),
            folder: self.root.join(&name),
            locks: self.root.join(".locks").join(name),
        }
    }
}

impl CachedRepository {
    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.folder.join("snapshots").join(commit.as_str())
    }

    pub(crate) fn blob(&self, hash: &ContentHash) -> PathBuf {
        self.folder.join("blobs").join(hash.as_str())
    }

    pub(crate) fn incomplete(&self, hash: &ContentHash) -> PathBuf {
        self.folder.join("blobs").join(format!("{hash}.incomplete"))
    }

    /// Whether the whole content is there.
    pub(crate) fn has(&self, hash: &ContentHash, bytes: u64) -> bool {
        fs::metadata(self.blob(hash)).is_ok_and(|found| found.is_file() && found.len() == bytes)
    }

    /// The bytes of a file that are there already, of its blob or of its beginning.
    pub(crate) fn bytes(&self, hash: &ContentHash, bytes: u64) -> u64 {
        if self.has(hash, bytes) {
            return bytes;
        }
        let length = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        let left = self.orphans(hash).into_iter().map(|(_, bytes)| bytes).max();
        length(self.incomplete(hash)).max(left.unwrap_or_default()).min(bytes)
    }

    /// Makes the folders that a download needs.
    pub(crate) fn prepare(&self) -> Result<()> {
        for folder in [&self.folder.join("blobs"), &self.locks] {
            fs::create_dir_all(folder).map_err(|error| Error::writing(folder, error))?;
        }
        let tag = self.cache.join("CACHEDIR.TAG");
        // Without it the cache is as good.
        if let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(tag) {
            let _ = file.write_all(TAG.as_bytes());
        }
        Ok(())
    }

    /// Takes the lock of a blob; `waits` is called before it waits for another program's.
    pub(crate) fn lock(&self, hash: &ContentHash, waits: impl FnOnce()) -> Result<BlobLock> {
        let path = self.locks.join(format!("{hash}.lock"));
        let writing = |error| Error::writing(&path, error);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(writing)?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                waits();
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        match locked {
            Ok(()) => Ok(BlobLock { _file: Some(file) }),
            // Without locks two programs write the same bytes to the same places.
            Err(error) if is_unsupported(&error) => Ok(BlobLock { _file: None }),
            Err(error) => Err(writing(error)),
        }
    }

    /// Beginnings that a killed process of huggingface_hub left, `CHECKSUM.0123abcd.incomplete`, with
    /// their lengths. Files with holes are not written from front to back, so they are no
    /// beginnings.
    fn orphans(&self, hash: &ContentHash) -> Vec<(PathBuf, u64)> {
        let Ok(entries) = fs::read_dir(self.folder.join("blobs")) else { return Vec::new() };
        let is_orphan = |name: &str| {
            let rest = name.strip_prefix(hash.as_str()).and_then(|rest| rest.strip_prefix('.'));
            rest.and_then(|rest| rest.strip_suffix(".incomplete")).is_some()
        };
        entries
            .filter_map(|entry| {
                let entry =
                    entry.ok().filter(|entry| entry.file_name().to_str().is_some_and(is_orphan))?;
                let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                let is_dense = metadata.blocks().saturating_mul(512) >= metadata.len();
                is_dense.then(|| (entry.path(), metadata.len()))
            })
            .collect()
    }

    /// Continues from the longest beginning. Only while the lock is held: no other program writes.
    pub(crate) fn adopt(&self, hash: &ContentHash) {
        let own = self.incomplete(hash);
        let have = fs::metadata(&own).map_or(0, |found| found.len());
        let longest = self.orphans(hash).into_iter().max_by_key(|(_, bytes)| *bytes);
        if let Some((path, _)) = longest.filter(|(_, bytes)| *bytes > have) {
            // If it fails, the download begins where its own beginning ends.
            let _ = fs::rename(path, own);
        }
    }

    /// Whether a file of a snapshot is complete: nothing is to be written for it.
    pub(crate) fn is_complete(
        &self,
        commit: &Commit,
        path: &FilePath,
        (hash, bytes): (&ContentHash, u64),
    ) -> bool {
        let link = fs::read_link(path.below(&self.snapshot(commit)));
        self.has(hash, bytes) && link.is_ok_and(|there| there == target(path, hash))
    }

    /// Links a file of a snapshot to its blob.
    pub(crate) fn link(&self, commit: &Commit, path: &FilePath, hash: &ContentHash) -> Result<()> {
        let at = path.below(&self.snapshot(commit));
        let to = target(path, hash);
        if fs::read_link(&at).is_ok_and(|there| there == to) {
            return Ok(());
        }
        let writing = |error| Error::writing(&at, error);
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder).map_err(writing)?;
        }
        replace(&at, |new| symlink(&to, new)).map_err(writing)
    }

    /// Sets the commit of a branch or a tag.
    pub(crate) fn set_ref(&self, revision: &Revision, commit: &Commit) -> Result<()> {
        let at = self.folder.join("refs").join(revision.as_str());
        let is_set = fs::read_to_string(&at).is_ok_and(|there| there == commit.as_str());
        if revision.as_str() == commit.as_str() || is_set {
            return Ok(());
        }
        let writing = |error| Error::writing(&at, error);
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder).map_err(writing)?;
        }
        replace(&at, |new| fs::write(new, commit.as_str())).map_err(writing)
    }
}

/// Where a file's link leads: to its blob, without the cache's own path.
fn target(path: &FilePath, hash: &ContentHash) -> PathBuf {
    let up = "../".repeat(path.as_str().split('/').count() + 1);
    format!("{up}blobs/{hash}").into()
}

/// Makes something beside `at` and renames it to `at`, so that a reader sees the old or the new.
fn replace(at: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let new = at.with_file_name(format!(".zimg-{}-{number}.tmp", process::id()));
    let made = make(&new).and_then(|()| fs::rename(&new, at));
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

fn is_unsupported(error: &io::Error) -> bool {
    let none = [rustix::io::Errno::NOLCK, rustix::io::Errno::NOSYS, rustix::io::Errno::OPNOTSUPP];
    none.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(root: &Path) -> CachedRepository {
        Cache::at(root.into()).repository(&"a/b".parse().unwrap())
    }

    fn hash() -> ContentHash {
        ContentHash::parse(&"a".repeat(64)).unwrap()
    }

    #[test]
    fn links_are_relative_and_refs_are_files() {
        let root = tempfile::tempdir().unwrap();
        let repository = cached(root.path());
        repository.prepare().unwrap();
        fs::write(repository.blob(&hash()), "x").unwrap();
        let commit = Commit::parse(&"c".repeat(40)).unwrap();
        for (path, to) in [("a", "../../blobs/"), ("d/e/f", "../../../../blobs/")] {
            for _ in 0..2 {
                repository.link(&commit, &FilePath::parse(path).unwrap(), &hash()).unwrap();
            }
            let at = repository.snapshot(&commit).join(path);
            assert_eq!(fs::read_link(&at).unwrap(), Path::new(&format!("{to}{}", hash())));
            assert_eq!(fs::read_to_string(at).unwrap(), "x");
        }
        repository.set_ref(&"refs/pr/1".parse().unwrap(), &commit).unwrap();
        let set = root.path().join("models--a--b/refs/refs/pr/1");
        assert_eq!(fs::read_to_string(set).unwrap(), commit.as_str());
        assert!(root.path().join("CACHEDIR.TAG").is_file());
    }

    #[test]
    fn a_beginning_of_another_program_is_continued() {
        let root = tempfile::tempdir().unwrap();
        let repository = cached(root.path());
        repository.prepare().unwrap();
        let orphan =
            repository.blob(&hash()).with_file_name(format!("{}.0f1e2d3c.incomplete", hash()));
        fs::write(&orphan, "12345").unwrap();
        fs::write(repository.incomplete(&hash()), "12").unwrap();
        assert_eq!(repository.bytes(&hash(), 10), 5);
        repository.adopt(&hash());
        assert_eq!(fs::read_to_string(repository.incomplete(&hash())).unwrap(), "12345");
        assert!(!orphan.exists());
        // With a hole it is no beginning.
        File::create(&orphan).unwrap().set_len(1 << 20).unwrap();
        assert_eq!(repository.bytes(&hash(), 1 << 20), 5);
    }

    #[test]
    fn a_lock_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let repository = cached(root.path());
        repository.prepare().unwrap();
        let held = repository.lock(&hash(), || panic!("it is free")).unwrap();
        let (said, waits) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second =
                scope.spawn(|| repository.lock(&hash(), || said.send(()).unwrap()).map(drop));
            waits.recv().unwrap();
            drop(held);
            second.join().unwrap().unwrap();
        });
    }
}
