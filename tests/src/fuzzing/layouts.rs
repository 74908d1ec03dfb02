//! Oracle of files of weights: safetensors and GGUF that lie by themselves.

use std::fs;
use std::sync::OnceLock;

use tempfile::TempDir;
use zimage_checkpoint::{Checkpoint, Error};

use super::within;

/// A file is a model or is refused in one sentence, and takes no more memory than its bytes. It is
/// understood if its header is read and its tensors are known.
pub fn layouts(bytes: &[u8]) -> bool {
    static FOLDER: OnceLock<Option<TempDir>> = OnceLock::new();
    let Some(folder) = FOLDER.get_or_init(|| tempfile::tempdir().ok()) else { return false };
    let path = folder.path().join("model");
    if fs::write(&path, bytes).is_err() {
        return false;
    }
    // A tensor's name of some bytes becomes a canonical name, a shape and an entry of a tree.
    let read = || Checkpoint::open(&path).and_then(|checkpoint| checkpoint.verify());
    let Err(error) = within(1024 * bytes.len(), read) else { return true };
    let sentence = error.to_string();
    assert!(!sentence.is_empty() && sentence.len() < 4096 + 4 * bytes.len(), "{sentence}");
    matches!(
        error,
        Error::MissingComponent { .. }
            | Error::MissingTensor { .. }
            | Error::SurplusTensors { .. }
            | Error::NotTheTransformer { .. }
            | Error::NoTokenizer { .. }
            | Error::Config { .. }
            | Error::Shape { .. }
    )
}
