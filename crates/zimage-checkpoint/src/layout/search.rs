//! Search for files of weights in the folders that ComfyUI and other programs keep them in.
//!
//! A file counts by its content; its name and its ending say nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::weights_file::WeightsFile;
use crate::component::Component;
use crate::error::Error;

/// How deep folders are looked into: people sort their models.
const DEPTH: usize = 3;
/// How many files are looked at.
const FILES: usize = 2000;
/// No component is smaller; previews, texts and configurations are not opened.
const LEAST: u64 = 4096;

/// Folders of ComfyUI for each component (`folder_paths.py`).
pub(crate) const fn folders(component: Component) -> &'static [&'static str] {
    match component {
        Component::Transformer => &["diffusion_models", "unet", "checkpoints"],
        Component::TextEncoder => &["text_encoders", "clip"],
        Component::Vae => &["vae"],
    }
}

/// Folders in which such folders may be: ComfyUI's own, and that of its repositories.
const INNER: [&str; 2] = ["models", "split_files"];

/// Files that were found, and what others were instead.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files of this model, sorted by path.
    pub(crate) files: Vec<WeightsFile>,
    /// Why others are none.
    pub(crate) others: Vec<Error>,
}

impl Found {
    /// Files that have the component.
    pub(crate) fn with(&self, component: Component) -> Vec<&WeightsFile> {
        self.files.iter().filter(|file| file.has(component)).collect()
    }
}

/// The folder in which folders for components are, if `folder` is one of ComfyUI's or holds it. A
/// folder `vae` alone may be one of diffusers.
pub(crate) fn models_folder(folder: &Path) -> Option<PathBuf> {
    let has_folders = |folder: &Path| {
        folders(Component::Transformer).iter().any(|name| folder.join(name).is_dir())
    };
    let inner = INNER.iter().map(|name| folder.join(name));
    std::iter::once(folder.to_owned()).chain(inner).find(|folder| has_folders(folder))
}

/// The models folder around a file: the folder above `diffusion_models` and the like.
pub(crate) fn models_folder_of(file: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let known: Vec<&str> =
        Component::ALL.iter().flat_map(|component| folders(*component)).copied().collect();
    let mut above = file.ancestors().skip(1).take(DEPTH + 1);
    let kind = above.find(|folder| {
        folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| known.contains(&name))
    })?;
    kind.parent().map(Path::to_owned)
}

/// The files in the folder `folder` and, if `deep`, in those inside it.
pub(crate) fn files_in(folder: &Path, deep: bool) -> Found {
    let mut paths = Vec::new();
    walk(folder, if deep { DEPTH } else { 0 }, &mut paths);
    paths.sort_unstable();
    let mut found = Found::default();
    for path in paths {
        match WeightsFile::open(&path) {
            Ok(file) => found.files.push(file),
            Err(error) => found.others.push(error),
        }
    }
    found
}

/// The files for a component in a models folder.
pub(crate) fn component_files(models: &Path, component: Component) -> Found {
    let mut all = Found::default();
    for name in folders(component) {
        let Found { files, others } = files_in(&models.join(name), true);
        all.files.extend(files);
        all.others.extend(others);
    }
    all
}

fn walk(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(|entry| entry.ok()) {
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.');
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if hidden || paths.len() >= FILES {
            continue;
        }
        if metadata.is_dir() && depth > 0 {
            walk(&path, depth - 1, paths);
        } else if metadata.is_file() && metadata.len() >= LEAST {
            paths.push(path);
        }
    }
}
