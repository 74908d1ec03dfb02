//! Components in files of their own: ComfyUI's folders, GGUF, and single files.

use super::variant::{Variant, listed, meant, variants};
use super::{COMPANION, Choice, Companion, Parts};
use crate::error::{Error, Result};
use crate::listing::{Listing, RemoteFile};
use crate::names::FilePath;

/// Folders whose files are not the transformer; those of ComfyUI and of diffusers.
pub(super) const OTHERS: [&str; 14] = [
    "clip",
    "controlnet",
    "embeddings",
    "loras",
    "model_patches",
    "scheduler",
    "style_models",
    "text_encoder",
    "text_encoders",
    "tokenizer",
    "transformer",
    "upscale_models",
    "vae",
    "vae_approx",
];
/// Words in names of files that are no whole model.
const PARTIAL: [&str; 4] = ["lora", "lokr", "controlnet", "imatrix"];
const ENCODERS: [&str; 2] = ["text_encoders", "clip"];

/// Whether the file is one of weights.
pub(super) fn is_weights(path: &FilePath) -> bool {
    [".safetensors", ".gguf"]
        .iter()
        .any(|suffix| path.name().to_ascii_lowercase().ends_with(suffix))
}

/// The transformer that is asked for, with the text encoder and the VAE of the same repository.
pub(super) fn choose(repository: &str, variant: Option<&str>, listing: &Listing) -> Result<Choice> {
    let files: Vec<_> = listing.files.iter().filter(|file| is_transformer(&file.path)).collect();
    let there = variants(&files);
    let repository = repository.to_owned();
    let found: &Variant<'_> = match (variant, there.as_slice()) {
        (_, []) => return Err(Error::NoCheckpoint { repository }),
        (None, [only]) => only,
        (None, several) => {
            return Err(Error::SeveralVariants { repository, there: listed(several) });
        }
        (Some(asked), _) => meant(&there, asked).ok_or_else(|| Error::NoVariant {
            repository,
            variant: asked.to_owned(),
            there: listed(&there),
        })?,
    };
    Ok(single(found.file, listing))
}

/// This file as the transformer.
pub(super) fn single(file: &RemoteFile, listing: &Listing) -> Choice {
    let exactness = exactness(file.path.name());
    let encoder = encoder(listing, exactness);
    let vae = vae(listing);
    let missing = Companion { repository: COMPANION, encoder: exactness };
    let is_whole = encoder.is_some() && vae.is_some();
    let path = |file: &RemoteFile| file.path.clone();
    Choice {
        files: [Some(file), encoder, vae].into_iter().flatten().cloned().collect(),
        parts: Parts::Files {
            transformer: path(file),
            text_encoder: encoder.map(path),
            vae: vae.map(path),
            missing: (!is_whole).then_some(missing),
        },
    }
}

fn is_transformer(path: &FilePath) -> bool {
    let name = path.name().to_ascii_lowercase();
    is_weights(path)
        && !path.folders().any(|folder| OTHERS.contains(&folder))
        && !PARTIAL.iter().any(|word| name.contains(word))
}

/// The text encoder that is as exact as the transformer: a small transformer with an encoder of 8 GB
/// is not small.
fn exactness(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let words = name.split(['-', '_', '.']);
    let begins = |with: &[&str]| words.clone().any(|word| with.iter().any(|w| word.starts_with(w)));
    match () {
        () if begins(&["q2", "q3", "q4", "iq", "nvfp4", "fp4", "mxfp4", "w4", "int4"]) => {
            "fp4_mixed"
        }
        () if begins(&["q5", "q6", "q8", "int8", "fp8", "mxfp8"]) => "fp8_mixed",
        () => "bf16",
    }
}

/// The text encoder of this exactness, else the most exact one.
pub(super) fn encoder<'a>(listing: &'a Listing, exactness: &str) -> Option<&'a RemoteFile> {
    let found = in_folder(listing, &ENCODERS);
    let exact = |file: &&&RemoteFile| file.path.name().contains(exactness);
    found.iter().find(exact).or_else(|| found.first()).copied()
}

/// The VAE.
pub(super) fn vae(listing: &Listing) -> Option<&RemoteFile> {
    in_folder(listing, &["vae"]).first().copied()
}

/// The files of weights in a folder of this name, the shortest name first: that of the unquantised
/// file.
fn in_folder<'a>(listing: &'a Listing, folders: &[&str]) -> Vec<&'a RemoteFile> {
    let is_there = |file: &&RemoteFile| {
        let above = file.path.folders().next();
        let above = above.and_then(|folders| folders.rsplit('/').next());
        is_weights(&file.path) && above.is_some_and(|folder| folders.contains(&folder))
    };
    let mut found: Vec<_> = listing.files.iter().filter(is_there).collect();
    found.sort_by_key(|file| file.path.name().len());
    found
}
