//! Packed weights: quantised matrices that stay as the file has them give the same bits as expanded
//! ones, wherever they are.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};
use tempfile::TempDir;
use zimage::{Checkpoint, DType, Options, Pipeline};

#[path = "../../../tests/src/folder.rs"]
pub mod folder;
pub mod pipeline;
use folder::copied;
use pipeline::{PARTS, distance, fixture, latents, load, options, params};

/// How a matrix is written: its numbers, and the scale of each row.
type Quantise = fn(&Tensor) -> (Tensor, Tensor);

fn int8(matrix: &Tensor) -> (Tensor, Tensor) {
    let scales = matrix.abs().amax([-1], true) / 127.0;
    ((matrix / &scales).round().to_kind(Kind::Int8), scales)
}

fn float8(matrix: &Tensor) -> (Tensor, Tensor) {
    let scales = matrix.abs().amax([-1], true) / 448.0;
    ((matrix / &scales).to_kind(Kind::Float8e4m3fn), scales)
}

/// A copy of a fixture whose blocks' matrices are quantised as ComfyUI writes them: numbers, scales,
/// and a description.
fn quantised(name: &str, format: &str, quantise: Quantise) -> (TempDir, PathBuf) {
    let copy = copied(&fixture(&format!("reference/{name}")));
    let folder = copy.path().to_owned();
    for (part, file) in [
        ("transformer", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "model.safetensors"),
    ] {
        let mut tensors = Vec::new();
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                tensors.extend(Tensor::read_safetensors(&path).unwrap());
            }
            if path.to_string_lossy().contains(".safetensors") {
                fs::remove_file(path).unwrap();
            }
        }
        let mut written = Vec::new();
        for (name, tensor) in tensors {
            let is_of_block = ["attention.", "self_attn.", "feed_forward.", "mlp."];
            let is_of_block = is_of_block.iter().any(|part| name.contains(part));
            let layer = name.strip_suffix(".weight").filter(|_| tensor.dim() == 2 && is_of_block);
            if let Some(layer) = layer.filter(|layer| !layer.starts_with("t_embedder")) {
                let (values, scales) = quantise(&tensor.to_kind(Kind::Float));
                let description = format!("{{\"format\":\"{format}\"}}");
                written.push((format!("{layer}.weight"), values));
                written.push((format!("{layer}.weight_scale"), scales));
                let description = Tensor::from_slice(description.as_bytes());
                written.push((format!("{layer}.comfy_quant"), description));
            } else {
                written.push((name, tensor));
            }
        }
        write(&written, &folder.join(part).join(file));
    }
    (copy, folder)
}

/// tch writes no float8.
fn write(tensors: &[(String, Tensor)], path: &Path) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, tensor)| tensor.contiguous().view([-1]).view_dtype(Kind::Uint8))
        .map(|bytes| bytes.try_into().unwrap())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::BFloat16 => Dtype::BF16,
            Kind::Int8 => Dtype::I8,
            Kind::Uint8 => Dtype::U8,
            Kind::Float8e4m3fn => Dtype::F8_E4M3,
            other => unreachable!("{other:?}"),
        };
        let shape = tensor.size().iter().map(|&side| side as usize).collect();
        (name, TensorView::new(dtype, shape, bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

#[test]
fn packed_weights_generate_the_same_bits() {
    let formats: [(&str, Quantise); 2] = [("int8_tensorwise", int8), ("float8_e4m3fn", float8)];
    for (format, quantise) in formats {
        let (_copy, folder) = quantised("plain", format, quantise);
        for dtype in [DType::Float32, DType::BFloat16] {
            let expected = latents(&load(&folder, options(dtype)), &params(2));
            for residency in PARTS {
                for packed in [true, false] {
                    let options = Options { residency, packed, ..options(dtype) };
                    let found = latents(&load(&folder, options), &params(2));
                    assert_eq!(found, expected, "{format} {dtype} {residency:?} {packed}");
                }
            }
        }
    }
}

#[test]
fn packed_weights_are_retained() {
    let (_copy, folder) = quantised("plain", "int8_tensorwise", int8);
    let checkpoint = Checkpoint::open(&folder).unwrap();
    for residency in PARTS {
        let options = Options { residency, packed: true, ..options(DType::BFloat16) };
        let first = load(&folder, options);
        let expected = latents(&first, &params(2));
        let second = pipeline::retained(&checkpoint, options, first);
        assert_eq!(latents(&second, &params(2)), expected, "{residency:?}");
    }
}

/// The numbers of a float8 file are multiplied as they are, wherever they are; without them, streamed
/// weights cannot be multiplied in float8.
#[test]
fn float8_files_are_multiplied_as_they_are() {
    let (_copy, folder) = quantised("plain", "float8_e4m3fn", float8);
    let wide = latents(&load(&folder, options(DType::BFloat16)), &params(2));
    let expected = latents(&load(&folder, options(DType::Float8)), &params(2));
    let off = distance(&expected, &wide);
    assert!(off > 1e-4 && off < 0.3, "{off}");
    for residency in PARTS {
        let options = Options { residency, packed: true, ..options(DType::Float8) };
        assert_eq!(latents(&load(&folder, options), &params(2)), expected, "{residency:?}");
    }
    let options = Options { residency: PARTS[2], packed: true, ..options(DType::Float8) };
    let checkpoint = Checkpoint::open(&fixture("reference/plain")).unwrap();
    let error = Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("prepare a float8 checkpoint"), "{error}");
}
