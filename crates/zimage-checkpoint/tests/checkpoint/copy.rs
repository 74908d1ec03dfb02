//! Copies of the reference checkpoints, to be changed by tests.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::folder::copied;

/// A reference checkpoint, or the built-in model's folder.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A copy of a checkpoint in a temporary folder.
pub(crate) struct Copy(TempDir);

impl Copy {
    /// Of `tests/fixtures/reference/plain`: several shards, a text encoder with a language head.
    pub(crate) fn plain() -> Self {
        Self::of("tests/fixtures/reference/plain")
    }

    pub(crate) fn of(path: &str) -> Self {
        Self(copied(&fixture(path)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.file(from), self.file(to)).unwrap();
    }

    /// Changes a JSON file.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.file(name)).unwrap()).unwrap();
        change(&mut value);
        self.write(name, value.to_string().as_bytes());
    }

    /// A sentence with `F` for the folder.
    pub(crate) fn sentence(&self, error: &impl ToString) -> String {
        error.to_string().replace(&self.path().display().to_string(), "F")
    }
}
