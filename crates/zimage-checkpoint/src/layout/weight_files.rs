//! The files of a component in the diffusers layout: one or several, with or without a variant.
//!
//! A variant is a second set of weights beside the first, such as `fp16`; the reference reads it when
//! it is asked for. Here it is read when there is no other. Names: diffusers and transformers,
//! `_add_variant` in `utils/hub_utils.py`.

use crate::content::Content;
use crate::error::{Error, Result};
use crate::misnamed::missing;
use crate::source::Source;

/// What weights files end with.
const SAFETENSORS: &str = ".safetensors";
/// What lists of shards end with.
const INDEX: &str = ".safetensors.index.json";
/// Variants in the order in which they are taken.
const PREFERRED: [&str; 3] = ["bf16", "fp16", "fp32"];
/// Endings of files that hold pickles.
const PICKLES: [&str; 4] = [".bin", ".pt", ".pth", ".ckpt"];

/// Where a component's weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WeightFiles {
    /// The list of shards, or the one file.
    pub(super) file: String,
    /// Whether `file` is a list of shards.
    pub(super) is_index: bool,
    /// The variant, if the plain files are not there.
    pub(super) variant: Option<String>,
}

/// Finds the weights in `folder` whose names begin with `stem`.
///
/// # Errors
/// When there are none, or only some that are not read.
pub(super) fn find(source: &Source, folder: &str, stem: &str) -> Result<WeightFiles> {
    let path = |name: &str| format!("{folder}/{name}");
    let plain = |end: &str, is_index| {
        let file = path(&format!("{stem}{end}"));
        source.has(&file).then_some(WeightFiles { file, is_index, variant: None })
    };
    if let Some(found) = plain(INDEX, true).or_else(|| plain(SAFETENSORS, false)) {
        return Ok(found);
    }
    let names = source.names_in(folder);
    let mut variants: Vec<WeightFiles> = names
        .iter()
        .filter_map(|name| {
            let (variant, is_index) = variant(name.strip_prefix(stem)?)?;
            Some(WeightFiles { file: path(name), is_index, variant: Some(variant.to_owned()) })
        })
        .collect();
    let rank = |files: &WeightFiles| {
        let variant = files.variant.as_deref().unwrap_or_default();
        PREFERRED.iter().position(|known| *known == variant).unwrap_or(PREFERRED.len())
    };
    variants.sort_by_key(|files| (rank(files), !files.is_index));
    if !variants.is_empty() {
        return Ok(variants.remove(0));
    }
    let file = source.label(&path(&format!("{stem}{SAFETENSORS}")));
    match names.into_iter().find(|name| PICKLES.iter().any(|end| name.ends_with(end))) {
        Some(found) => Err(Error::OtherForm { file, found, content: Content::Pickle }),
        None => Err(missing(file)),
    }
}

/// The variant of a file, by the end of its name, and whether it is a list of shards.
///
/// The lists of `safe_serialization` put the variant last, other tools put it after the stem.
fn variant(end: &str) -> Option<(&str, bool)> {
    let (variant, is_index) = if let Some(variant) = between(end, ".safetensors.index.", ".json") {
        (variant, true)
    } else if let Some(variant) = between(end, ".", INDEX) {
        (variant, true)
    } else {
        (between(end, ".", SAFETENSORS)?, false)
    };
    let is_word = !variant.is_empty()
        && variant.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word.then_some((variant, is_index))
}

/// What is between a beginning and an end.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(begin)?.strip_suffix(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEM: &str = "diffusion_pytorch_model";

    fn of(names: &[&str]) -> Result<WeightFiles> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("vae")).unwrap();
        for name in names {
            std::fs::write(folder.path().join("vae").join(name), "").unwrap();
        }
        find(&Source::Folder(folder.path().to_owned()), "vae", STEM)
    }

    #[test]
    fn a_variant_is_taken_where_nothing_else_is() {
        let plain = "diffusion_pytorch_model.safetensors";
        let index = "diffusion_pytorch_model.safetensors.index.json";
        let half = "diffusion_pytorch_model.fp16.safetensors";
        let brain = "diffusion_pytorch_model.bf16.safetensors";
        let own = "diffusion_pytorch_model.ema.safetensors";
        let shard = "diffusion_pytorch_model-00001-of-00002.fp16.safetensors";
        let last = "diffusion_pytorch_model.safetensors.index.fp16.json";
        let first = "diffusion_pytorch_model.fp16.safetensors.index.json";
        for (names, file, is_index, variant) in [
            (&[half, plain][..], plain, false, None),
            (&[half, index, shard], index, true, None),
            (&[half], half, false, Some("fp16")),
            (&[half, brain, own], brain, false, Some("bf16")),
            (&[own], own, false, Some("ema")),
            (&[shard, last], last, true, Some("fp16")),
            (&[shard, first], first, true, Some("fp16")),
        ] {
            let found = of(names).unwrap();
            assert_eq!(found.file, format!("vae/{file}"), "{names:?}");
            assert_eq!((found.is_index, found.variant.as_deref()), (is_index, variant));
        }
    }

    #[test]
    fn pickles_alone_are_named() {
        for name in ["diffusion_pytorch_model.bin", "model.pt", "x.ckpt"] {
            let error = of(&[name, "config.json"]).unwrap_err();
            assert!(matches!(&error, Error::OtherForm { found, .. } if found == name), "{error}");
        }
        for names in [&["config.json"][..], &["diffusion_pytorch_model-00001-of-00002.safetensors"]]
        {
            let error = of(names).unwrap_err();
            assert!(matches!(error, Error::MissingFile { .. }), "{error}");
        }
    }
}
