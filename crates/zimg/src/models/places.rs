//! Places where checkpoints are: the Hugging Face cache, and folders of the user's settings.

use std::fs;
use std::path::{Path, PathBuf};

use zimg_hub::Cache;

/// A folder in which checkpoints are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// The repository and the branch or commit, if the folder is a snapshot in a cache.
    pub(crate) repository: Option<String>,
    /// Whether the repository's name alone means this snapshot.
    pub(crate) is_main: bool,
}

impl Place {
    /// The snapshots in the Hugging Face cache of the environment, and these folders.
    pub(crate) fn all(folders: &[PathBuf]) -> Vec<Self> {
        let cached = Cache::find().map(|cache| snapshots(cache.root())).unwrap_or_default();
        let folder =
            |folder: &PathBuf| Self { folder: folder.clone(), repository: None, is_main: false };
        cached.into_iter().chain(folders.iter().map(folder)).collect()
    }
}

/// The snapshots of a cache, by the names of their repositories.
fn snapshots(cache: &Path) -> Vec<Place> {
    let mut found = Vec::new();
    for (name, repository) in folders(cache) {
        let Some(name) = name.strip_prefix("models--") else { continue };
        let main = fs::read_to_string(repository.join("refs/main")).unwrap_or_default();
        for (commit, folder) in folders(&repository.join("snapshots")) {
            let repository = Some(name.replacen("--", "/", 1));
            found.push(Place { folder, repository, is_main: commit == main.trim() });
        }
    }
    found
}

/// The folders in a folder, by name. None of one that is absent or not readable.
pub(super) fn folders(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.to_owned();
            path.is_dir().then_some((name, path))
        })
        .collect();
    found.sort();
    found
}
