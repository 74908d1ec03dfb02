//! Small checkpoints whose weights are changed, or lie in another form than the fixtures have.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};
use tempfile::TempDir;

#[path = "../../../../tests/src/folder.rs"]
pub mod folder;

/// Tensors by name.
pub type Tensors = Vec<(String, Tensor)>;

/// How a matrix is written: its numbers, and the scale of each row.
pub type Quantise = fn(&Tensor) -> (Tensor, Tensor);

/// The parts that have blocks.
pub const PARTS: [&str; 2] = ["transformer", "text_encoder"];

/// 8-bit integers.
pub fn int8(matrix: &Tensor) -> (Tensor, Tensor) {
    let scales = matrix.abs().amax([-1], true) / 127.0;
    ((matrix / &scales).round().to_kind(Kind::Int8), scales)
}

/// 8-bit floating point.
pub fn float8(matrix: &Tensor) -> (Tensor, Tensor) {
    let scales = matrix.abs().amax([-1], true) / 448.0;
    ((matrix / &scales).to_kind(Kind::Float8e4m3fn), scales)
}

/// A copy of a folder with the tensors of some parts changed; each part becomes one file.
pub fn changed(from: &Path, parts: &[&str], change: impl Fn(&str, Tensors) -> Tensors) -> TempDir {
    let copy = folder::copied(from);
    for part in parts {
        let tensors = taken(&copy.path().join(part));
        let file = match *part {
            "text_encoder" => "model.safetensors",
            _ => "diffusion_pytorch_model.safetensors",
        };
        write(&change(part, tensors), &copy.path().join(part).join(file));
    }
    copy
}

/// The tensors of a part, in float32, whose files are deleted.
fn taken(part: &Path) -> Tensors {
    let mut tensors = Vec::new();
    for entry in fs::read_dir(part).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            tensors.extend(Tensor::read_safetensors(&path).unwrap());
        }
        if path.to_string_lossy().contains(".safetensors") {
            fs::remove_file(path).unwrap();
        }
    }
    tensors.into_iter().map(|(name, tensor)| (name, tensor.to_kind(Kind::Float))).collect()
}

/// Whether a tensor is a matrix of a block.
pub fn is_matrix(name: &str, tensor: &Tensor) -> bool {
    let of_block = ["attention.", "self_attn.", "feed_forward.", "mlp."];
    tensor.dim() == 2
        && of_block.iter().any(|part| name.contains(part))
        && !name.starts_with("t_embedder")
}

/// Matrices quantised as ComfyUI writes them: numbers, scales, and a description.
pub fn comfy(tensors: Tensors, format: &str, quantise: Quantise) -> Tensors {
    let mut written = Vec::new();
    for (name, tensor) in tensors {
        let layer = name.strip_suffix(".weight").filter(|_| is_matrix(&name, &tensor));
        if let Some(layer) = layer {
            let (values, scales) = quantise(&tensor);
            let description = format!("{{\"format\":\"{format}\"}}");
            written.push((format!("{layer}.weight"), values));
            written.push((format!("{layer}.weight_scale"), scales));
            let description = Tensor::from_slice(description.as_bytes());
            written.push((format!("{layer}.comfy_quant"), description));
        } else {
            written.push((name, tensor));
        }
    }
    written
}

/// tch writes no float8.
fn write(tensors: &[(String, Tensor)], path: &Path) {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, tensor)| bytes(tensor)).collect();
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

fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.contiguous().view([-1]).view_dtype(Kind::Uint8).try_into().unwrap()
}

/// Writes a GGUF file: matrices whose rows are whole blocks as Q8_0, all else as float32.
///
/// Source: ggml's `docs/gguf.md`, `quantize_row_q8_0_ref` of `ggml-quants.c`.
pub fn write_gguf(tensors: &[(String, Tensor)], path: &Path) {
    const ALIGNMENT: usize = 32;
    let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let (mut infos, mut data) = (Vec::new(), Vec::new());
    for (name, tensor) in tensors {
        let size = tensor.size();
        let is_q8 = is_matrix(name, tensor) && size[1] % 32 == 0;
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        infos.extend(string(name));
        infos.extend((size.len() as u32).to_le_bytes());
        infos.extend(size.iter().rev().flat_map(|&side| (side as u64).to_le_bytes()));
        infos.extend(if is_q8 { 8u32 } else { 0 }.to_le_bytes());
        infos.extend((data.len() as u64).to_le_bytes());
        if !is_q8 {
            data.extend(bytes(tensor));
            continue;
        }
        let blocks = tensor.view([-1, 32]);
        let scales = blocks.abs().amax([-1], true) / 127.0;
        let values = bytes(&(&blocks / &scales).round().to_kind(Kind::Int8));
        let scales = bytes(&scales.to_kind(Kind::Half));
        for (scale, values) in scales.chunks(2).zip(values.chunks(32)) {
            data.extend([scale, values].concat());
        }
    }
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.extend(string("general.architecture"));
    file.extend(8u32.to_le_bytes());
    file.extend(string("lumina2"));
    file.extend(infos);
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.extend(data);
    fs::write(path, file).unwrap();
}
