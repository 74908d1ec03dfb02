//! The Hugging Face cache: a repository's name or folder becomes a snapshot's folder, without network.
//!
//! Source: huggingface_hub `file_download.py`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Whether `text` has the form `owner/name` of a repository.
pub(crate) fn is_repository(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with(['.', '-', '~'])
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    text.split_once('/').is_some_and(|(owner, name)| is_word(owner) && is_word(name))
}

/// The snapshot of the repository `owner/name` in one of `caches`.
///
/// # Errors
/// When no cache has it.
pub(crate) fn find(repository: &str, caches: &[PathBuf]) -> Result<PathBuf> {
    let folder = format!("models--{}", repository.replace('/', "--"));
    let found = caches.iter().find_map(|cache| snapshot(&cache.join(&folder)));
    found.ok_or_else(|| Error::NotInCache {
        repository: repository.to_owned(),
        caches: caches.iter().map(|path| path.display().to_string()).collect(),
    })
}

/// The snapshot of a repository's folder: that of the branch `main`, else the newest.
pub(crate) fn snapshot(repository: &Path) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let main = fs::read_to_string(repository.join("refs/main")).ok();
    // A reference that is a path would lead out of the folder.
    let main = main.map(|text| text.trim().to_owned()).filter(|name| !name.contains('/'));
    let main = main.filter(|name| !name.is_empty()).map(|name| snapshots.join(name));
    main.filter(|path| path.is_dir()).or_else(|| {
        let folders = fs::read_dir(&snapshots).ok()?.filter_map(|entry| entry.ok());
        let dated = folders.filter_map(|entry| {
            let metadata = fs::metadata(entry.path()).ok()?;
            metadata.is_dir().then_some((metadata.modified().ok()?, entry.path()))
        });
        dated.max().map(|(_, path)| path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories_are_told_from_paths() {
        for (text, is) in [
            ("Tongyi-MAI/Z-Image-Turbo", true),
            ("leejet/Z-Image-Turbo-GGUF", true),
            ("a_b/c.d", true),
            ("/srv/models", false),
            ("./models/x", false),
            ("../x", false),
            ("~/models", false),
            ("models", false),
            ("a/b/c", false),
            ("a/", false),
            ("a/b c", false),
        ] {
            assert_eq!(is_repository(text), is, "{text}");
        }
    }

    #[test]
    fn a_repository_has_the_snapshot_of_main_or_the_newest() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--o--n");
        let snapshots = repository.join("snapshots");
        let caches = [cache.path().join("none"), cache.path().to_owned()];
        assert!(matches!(find("o/n", &caches), Err(Error::NotInCache { .. })));
        for (name, seconds) in [("old", 1000), ("new", 2000), ("mid", 1500)] {
            fs::create_dir_all(snapshots.join(name)).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::open(snapshots.join(name)).unwrap().set_modified(time).unwrap();
        }
        assert_eq!(find("o/n", &caches).unwrap(), snapshots.join("new"));
        fs::create_dir(repository.join("refs")).unwrap();
        for (main, expected) in [("old\n", "old"), ("gone", "new"), ("../..", "new"), ("", "new")] {
            fs::write(repository.join("refs/main"), main).unwrap();
            assert_eq!(find("o/n", &caches).unwrap(), snapshots.join(expected), "{main:?}");
        }
    }
}
