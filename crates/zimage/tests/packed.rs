//! Packed weights: quantised matrices that stay as the file has them give the same bits as expanded
//! ones, wherever they are.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use zimage::{Checkpoint, DType, Options, Params, Pipeline, Residency};

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
fn quantised(fixture: &str, format: &str, quantise: Quantise) -> (TempDir, PathBuf) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference");
    let copy = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp")
        .arg("-rL")
        .args([&fixtures.join(fixture), copy.path()])
        .status();
    assert!(status.unwrap().success());
    let folder = copy.path().join(fixture);
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

fn load(folder: &Path, dtype: DType, residency: Residency, packed: bool) -> Pipeline {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let options =
        Options { device: Device::Cpu, dtype, eager: false, residency, packed, pinned: false };
    Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap()
}

fn latents(pipeline: &Pipeline) -> Tensor {
    let params = Params {
        prompt: "a red fox in the snow".into(),
        width: Some(96),
        height: Some(64),
        steps: Some(2),
        ..Params::default()
    };
    let params = pipeline.resolve(&params).unwrap();
    let conditioning = pipeline.encode(&params).unwrap();
    let mut generation = pipeline.start(&params, 7).unwrap();
    while !generation.is_done() {
        pipeline.step(&mut generation, &conditioning).unwrap();
    }
    generation.latents().copy()
}

const PARTS: [Residency; 3] = [
    Residency::All,
    Residency::Part { denoising_blocks: 1, text_encoder: true, slots: 2 },
    Residency::Part { denoising_blocks: 0, text_encoder: false, slots: 2 },
];

#[test]
fn packed_weights_generate_the_same_bits() {
    let formats: [(&str, Quantise); 2] = [("int8_tensorwise", int8), ("float8_e4m3fn", float8)];
    for (format, quantise) in formats {
        let (_copy, folder) = quantised("plain", format, quantise);
        for dtype in [DType::Float32, DType::BFloat16] {
            let expected = latents(&load(&folder, dtype, Residency::All, false));
            for residency in PARTS {
                let pipeline = load(&folder, dtype, residency, true);
                assert_eq!(latents(&pipeline), expected, "{format} {dtype} {residency:?}");
                let streamed = load(&folder, dtype, residency, false);
                assert_eq!(latents(&streamed), expected, "{format} {dtype} {residency:?}");
            }
        }
    }
}

#[test]
fn packed_weights_are_retained() {
    let (_copy, folder) = quantised("plain", "int8_tensorwise", int8);
    let first = load(&folder, DType::BFloat16, Residency::All, true);
    let expected = latents(&first);
    let retained = first.retain().unwrap();
    drop(first);
    let options = Options {
        device: Device::Cpu,
        dtype: DType::BFloat16,
        eager: false,
        residency: Residency::All,
        packed: true,
        pinned: false,
    };
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let (loading, mut loader) =
        zimage::LoadingPipeline::from_retained(&checkpoint, &options, retained).unwrap();
    loader.run(&mut |_| panic!("nothing is read")).unwrap();
    let second = loading.complete(loader).unwrap();
    assert_eq!(latents(&second), expected);
}

/// The numbers of a float8 file are multiplied as they are, wherever they are; without them, streamed
/// weights cannot be multiplied in float8.
#[test]
fn float8_files_are_multiplied_as_they_are() {
    let (_copy, folder) = quantised("plain", "float8_e4m3fn", float8);
    let wide = latents(&load(&folder, DType::BFloat16, Residency::All, false));
    let expected = latents(&load(&folder, DType::Float8, Residency::All, false));
    let off = ((&expected - &wide).norm() / wide.norm()).double_value(&[]);
    assert!(off > 1e-4 && off < 0.3, "{off}");
    for residency in PARTS {
        let found = latents(&load(&folder, DType::Float8, residency, true));
        assert_eq!(found, expected, "{residency:?}");
    }
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference/plain");
    let options = Options {
        device: Device::Cpu,
        dtype: DType::Float8,
        eager: false,
        residency: PARTS[2],
        packed: true,
        pinned: false,
    };
    let checkpoint = Checkpoint::open(&plain).unwrap();
    let error = Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("prepare a float8 checkpoint"), "{error}");
}
