//! A folder in diffusers' layout, which `model_index.json` marks.

use super::{Choice, Parts};
use crate::error::{Error, Result};
use crate::listing::{Listing, RemoteFile};

/// The file that marks the layout.
const INDEX: &str = "model_index.json";
/// The components with weights, and the names of their files without `.safetensors`.
const WEIGHTS: [(&str, &str); 3] = [
    ("text_encoder", "model"),
    ("transformer", "diffusion_pytorch_model"),
    ("vae", "diffusion_pytorch_model"),
];
/// Folders with small files that belong to it as they are.
const SMALL: [&str; 2] = ["scheduler", "tokenizer"];
/// A small file that is longer than this is none: a tokenizer has 11 MB.
const SMALL_MAX: u64 = 64 << 20;

/// The files of the layout. None if the repository has another layout, or the variant is one of
/// another.
pub(super) fn choose(
    repository: &str,
    variant: Option<&str>,
    listing: &Listing,
) -> Result<Option<Choice>> {
    if listing.find(INDEX).is_none() {
        return Ok(None);
    }
    // As in diffusers' `variant=`: components without such files have their ordinary ones.
    let has = |(folder, name): &(&str, &str), variant| {
        !weights(listing, folder, name, Some(variant)).is_empty()
    };
    if let Some(variant) = variant
        && !WEIGHTS.iter().any(|component| has(component, variant))
    {
        return Ok(None);
    }
    let mut files: Vec<RemoteFile> = Vec::new();
    for (folder, name) in WEIGHTS {
        let mut found = weights(listing, folder, name, variant);
        if found.is_empty() {
            found = weights(listing, folder, name, None);
        }
        let missing = || Error::Incomplete {
            repository: repository.to_owned(),
            file: format!("{folder}/{name}.safetensors"),
        };
        if found.is_empty() {
            return Err(missing());
        }
        files.extend(found.into_iter().cloned());
    }
    let is_small = |file: &&RemoteFile| {
        let path = file.path.as_str();
        let Some((folder, name)) = path.split_once('/') else { return path == INDEX };
        let of_component = WEIGHTS.iter().any(|(component, _)| *component == folder);
        let json = name.ends_with(".json") && !name.contains(".index.");
        let fits = file.bytes().is_none_or(|bytes| bytes <= SMALL_MAX);
        fits && !name.contains('/') && ((of_component && json) || SMALL.contains(&folder))
    };
    files.extend(listing.files.iter().filter(is_small).cloned());
    Ok(Some(Choice { files, parts: Parts::Folder }))
}

/// A component's weights: the index and its shards, else the one file.
fn weights<'a>(
    listing: &'a Listing,
    folder: &str,
    name: &str,
    variant: Option<&str>,
) -> Vec<&'a RemoteFile> {
    let infix = variant.map_or(String::new(), |variant| format!(".{variant}"));
    let stem = format!("{folder}/{name}");
    // `model.safetensors.index.json`, `model.safetensors.index.fp16.json`
    if let Some(index) = listing.find(&format!("{stem}.safetensors.index{infix}.json")) {
        let is_shard = |file: &&RemoteFile| {
            let rest = file.path.as_str().strip_prefix(&stem);
            let rest = rest.and_then(|rest| rest.strip_suffix(".safetensors"));
            rest.is_some_and(|rest| shard(rest, &infix))
        };
        let shards = listing.files.iter().filter(is_shard);
        return [index].into_iter().chain(shards).collect();
    }
    listing.find(&format!("{stem}{infix}.safetensors")).into_iter().collect()
}

/// Whether `rest` is `.fp16-00001-of-00003` or `-00001-of-00003.fp16`: both spellings exist.
fn shard(rest: &str, infix: &str) -> bool {
    let numbers = |text: &str| {
        let parts = text.strip_prefix('-').and_then(|text| text.split_once("-of-"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        parts.is_some_and(|(number, all)| digits(number) && digits(all))
    };
    rest.strip_prefix(infix).is_some_and(numbers) || rest.strip_suffix(infix).is_some_and(numbers)
}
