//! Files and folders below a place that may be checkpoints, by their names.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders below a place: `ComfyUI/models/diffusion_models/z-image/x.safetensors` has three.
const DEPTH_MAX: usize = 4;
/// Files and folders of a place that are looked at: a home folder is no place.
const ENTRIES_MAX: usize = 20_000;
/// Smaller files are no models.
const BYTES_MIN: u64 = 100_000;
/// Folders of files that are no transformers.
const OTHERS: [&str; 12] = [
    "clip",
    "clip_vision",
    "controlnet",
    "embeddings",
    "loras",
    "model_patches",
    "style_models",
    "text_encoder",
    "text_encoders",
    "upscale_models",
    "vae",
    "vae_approx",
];

/// What may be a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// The candidates of a folder: folders with a `model_index.json`, and files of weights.
pub(super) fn candidates(folder: &Path) -> Vec<Candidate> {
    let mut found = Vec::new();
    let (mut left, mut seen) = (ENTRIES_MAX, HashSet::new());
    walk(folder, DEPTH_MAX, &mut left, &mut seen, &mut found);
    found
}

fn walk(
    folder: &Path,
    depth: usize,
    left: &mut usize,
    seen: &mut HashSet<PathBuf>,
    found: &mut Vec<Candidate>,
) {
    // A link may lead to a folder above.
    if !folder.canonicalize().is_ok_and(|path| seen.insert(path)) {
        return;
    }
    if folder.join("model_index.json").exists() {
        let bytes = size(folder, DEPTH_MAX);
        found.push(Candidate { path: folder.to_owned(), bytes });
        return;
    }
    for path in entries(folder, left) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let is_weights = [".safetensors", ".gguf"].iter().any(|suffix| name.ends_with(suffix));
        if metadata.is_dir() {
            if depth > 0 && !name.starts_with('.') && !OTHERS.contains(&name) {
                walk(&path, depth - 1, left, seen, found);
            }
        } else if is_weights && metadata.is_file() && metadata.len() >= BYTES_MIN {
            found.push(Candidate { bytes: metadata.len(), path });
        }
    }
}

/// Bytes of all files below a folder.
fn size(folder: &Path, depth: usize) -> u64 {
    let of = |path: PathBuf| match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(metadata) if metadata.is_dir() && depth > 0 => size(&path, depth - 1),
        _ => 0,
    };
    entries(folder, &mut { ENTRIES_MAX }).into_iter().map(of).sum()
}

fn entries(folder: &Path, left: &mut usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<_> = entries.take(*left).map(|entry| entry.path()).collect();
    *left -= paths.len();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn transformers_are_told_from_what_lies_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: usize| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; bytes]).unwrap();
        };
        put("diffusion_models/z/turbo.safetensors", 200_000);
        put("diffusion_models/turbo.gguf", 300_000);
        put("diffusion_models/small.safetensors", 9);
        put("diffusion_models/readme.txt", 300_000);
        put("text_encoders/qwen.safetensors", 300_000);
        put("loras/l.safetensors", 300_000);
        put("diffusers/a/model_index.json", 10);
        put("diffusers/a/vae/w.safetensors", 150_000);
        symlink(folder.path(), folder.path().join("diffusion_models/again")).unwrap();
        let found: Vec<_> = candidates(folder.path())
            .into_iter()
            .map(|found| {
                (found.path.strip_prefix(folder.path()).unwrap().display().to_string(), found.bytes)
            })
            .collect();
        let expected = [
            ("diffusers/a", 150_010),
            ("diffusion_models/turbo.gguf", 300_000),
            ("diffusion_models/z/turbo.safetensors", 200_000),
        ];
        assert_eq!(found, expected.map(|(name, bytes)| (name.to_owned(), bytes)));
    }
}
