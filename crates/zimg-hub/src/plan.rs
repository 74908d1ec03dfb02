//! A plan: the files that are to be in the cache, with their lengths and checksums.

use std::path::PathBuf;

use crate::cache::{Cache, CachedRepository};
use crate::digest::ContentHash;
use crate::error::Result;
use crate::hub::Hub;
use crate::listing::RemoteFile;
use crate::names::{Commit, FilePath, Repository, Revision};
use crate::stop::Stop;

/// A file of a plan.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// Its number in the plan.
    pub index: usize,
    /// Its path in the repository.
    pub path: FilePath,
    /// Its length.
    pub bytes: u64,
    /// Its checksum.
    pub hash: ContentHash,
    pub(crate) remote: RemoteFile,
}

/// Files of a repository at one commit that are to be in the cache.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The repository.
    pub repository: Repository,
    /// What was asked for.
    pub revision: Revision,
    /// Its commit.
    pub commit: Commit,
    /// The files, the largest first.
    pub files: Vec<PlannedFile>,
    pub(crate) cache: CachedRepository,
}

impl Plan {
    /// Plans these files of a repository; asks for lengths and checksums that are not listed.
    ///
    /// # Errors
    /// As [`Hub::list`].
    pub fn new(
        hub: &Hub,
        cache: &Cache,
        repository: &Repository,
        (revision, commit): (&Revision, &Commit),
        files: &[RemoteFile],
        stop: &Stop,
    ) -> Result<Self> {
        let mut planned = Vec::with_capacity(files.len());
        for file in files {
            let (bytes, hash) = match &file.content {
                Some(content) => content.clone(),
                None => hub.content(repository, commit, file, stop)?,
            };
            let path = file.path.clone();
            planned.push(PlannedFile { index: 0, path, bytes, hash, remote: file.clone() });
        }
        // The longest download begins first, so that it does not end alone.
        planned.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        planned.iter_mut().enumerate().for_each(|(index, file)| file.index = index);
        Ok(Self {
            repository: repository.clone(),
            revision: revision.clone(),
            commit: commit.clone(),
            files: planned,
            cache: cache.repository(repository),
        })
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Bytes of a file that are in the cache already.
    pub fn cached(&self, file: &PlannedFile) -> u64 {
        self.cache.bytes(&file.hash, file.bytes)
    }

    /// Bytes of all files that are in the cache already.
    pub fn all_cached(&self) -> u64 {
        self.files.iter().map(|file| self.cached(file)).sum()
    }

    /// The folder where the files will be.
    pub fn snapshot(&self) -> PathBuf {
        self.cache.snapshot(&self.commit)
    }
}
