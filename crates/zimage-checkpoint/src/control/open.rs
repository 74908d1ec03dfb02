//! Opening a ControlNet: its header, checked against the dimensions of a model.

use std::path::Path;

use super::error::ControlError;
use super::structure::{ControlConfig, ControlRefiner, ControlStructure, REFINER};
use crate::component::Component;
use crate::config::TransformerConfig;
use crate::encoding::Encoding;
use crate::fingerprint::FileFingerprint;
use crate::json;
use crate::layout::identify::contents;
use crate::source::{DataFile, open_regular};
use crate::stored_tensor::StoredTensor;
use crate::tensor_index::TensorIndex;

/// diffusers' configuration beside its file of weights.
const CONFIG: &str = "config.json";
/// The name of that file.
const DIFFUSERS: &str = "diffusion_pytorch_model";
/// The longest configuration that is read.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Bytes that are read at once where numbers are looked at.
const CHUNK: usize = 1 << 20;

/// A ControlNet whose header is read and fits the model; its numbers are still in the file.
#[derive(Debug)]
pub struct ControlNet {
    /// Its tensors, under the names that diffusers has.
    pub index: TensorIndex,
    /// What they are.
    pub structure: ControlStructure,
    /// Bytes of its file.
    pub bytes: u64,
    /// What identifies its file.
    pub fingerprint: FileFingerprint,
}

impl ControlNet {
    /// Opens a ControlNet, reads its header and checks it against the dimensions of a model.
    ///
    /// # Errors
    /// When the file cannot be read, is no ControlNet or one of another model, or has a structure that is
    /// not known.
    pub fn open(path: &Path, model: &TransformerConfig) -> Result<Self, ControlError> {
        let file = open_regular(path, path.display().to_string())?;
        let (label, bytes) = (file.label.clone(), file.len);
        let fingerprint = file.fingerprint.clone();
        let place = format!("the ControlNet {label}");
        let mut index = TensorIndex::new(place, Component::Transformer);
        index.add(file)?;
        let patch = format!("{}-{}", model.patch_size(), model.frame_patch_size());
        let embedder = format!("control_all_x_embedder.{patch}.weight");
        let Some((_, stored)) = index.tensors.get(&embedder) else {
            return Err(other(label, &index));
        };
        let [dim, width] = stored.shape[..] else {
            let why = format!("its embedder has the shape {:?}", stored.shape);
            return Err(ControlError::Structure { file: label, why });
        };
        if dim != model.dim {
            return Err(ControlError::OtherModel { file: label, found: dim, expected: model.dim });
        }
        let config = config_beside(path);
        let first = format!("{REFINER}.0.before_proj.weight");
        let has_own_refiner = match index.tensors.get(&first) {
            Some((file, stored)) => !is_zero(&index.files[*file], stored)?,
            None => false,
        };
        let facts = (width, has_own_refiner);
        let structure = ControlStructure::of(&index, config.as_ref(), model, facts)
            .map_err(|why| ControlError::Structure { file: label, why })?;
        if let ControlRefiner::Layers(_) = structure.refiner {
            // The published file has refiners that nothing computes, as the reference leaves them out.
            index.skip(&format!("{REFINER}."));
        }
        Ok(Self { index, structure, bytes, fingerprint })
    }
}

/// What a file without the embedder is.
fn other(file: String, index: &TensorIndex) -> ControlError {
    let what = match contents(index.tensors.keys().map(String::as_str)) {
        Err(foreign) => foreign.what.to_owned(),
        Ok(contents) if !contents.is_empty() => "a model or a part of one".to_owned(),
        Ok(_) => "a file without any part of one".to_owned(),
    };
    ControlError::NotAControlNet { file, what }
}

/// The configuration of a folder that diffusers wrote.
fn config_beside(path: &Path) -> Option<ControlConfig> {
    if path.file_stem()? != DIFFUSERS {
        return None;
    }
    let file = open_regular(&path.with_file_name(CONFIG), CONFIG.to_owned()).ok()?;
    let file = Some(file).filter(|file| file.len <= CONFIG_LIMIT)?;
    let mut bytes = vec![0; file.len as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    json::object(&bytes).ok()
}

/// Whether all numbers of a tensor are zero; its first bytes say so of a trained one.
fn is_zero(file: &DataFile, stored: &StoredTensor) -> Result<bool, ControlError> {
    let width = match stored.encoding {
        Encoding::Plain(number) => number.bytes() as usize,
        // The bytes of a quantised zero are zero as well, whose scale is then any.
        _ => usize::MAX,
    };
    let mut buffer = Vec::new();
    let mut done = 0;
    while done < stored.bytes {
        let length = (stored.bytes - done).min(CHUNK as u64) as usize;
        buffer.resize(length, 0);
        file.read_exact_at(&mut buffer, stored.offset + done)?;
        // The last byte of a number has its sign, and -0 is zero.
        let is_set = |(at, byte): (usize, &u8)| {
            let sign = if width != usize::MAX && (at + 1).is_multiple_of(width) { 0x80 } else { 0 };
            byte & !sign != 0
        };
        if buffer.iter().enumerate().any(is_set) {
            return Ok(false);
        }
        done += length as u64;
    }
    Ok(true)
}
