//! Prepared files: the same model in one file, which says what it is and whether it has changed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;
use zimage_checkpoint::{
    Checkpoint, Component, Encoding, LayoutKind, ModelFiles, Number, PrepareError, PrepareOptions,
    PreparePlan, PreparedType, Rotation, ScaleScope, ScaledFormat, TensorIndex, expand,
    verify_prepared,
};

use crate::copy::{Copy, fixture};

/// The origin, with a VAE's configuration that cannot be inferred from shapes.
const PLAIN: &str = "tests/fixtures/reference/plain";

const TYPES: [PreparedType; 3] = [PreparedType::BFloat16, PreparedType::Float8, PreparedType::Int8];

/// A prepared file.
struct Prepared(TempDir);

impl Prepared {
    fn of(checkpoint: &Checkpoint, dtype: PreparedType, text_encoder: PreparedType) -> Self {
        let prepared = Self(tempfile::tempdir().unwrap());
        let plan = PreparePlan::new(checkpoint, &PrepareOptions { dtype, text_encoder }).unwrap();
        let file = File::create_new(prepared.path()).unwrap();
        plan.write(&file, &mut |_| true).unwrap();
        assert_eq!(file.metadata().unwrap().len(), plan.bytes());
        prepared
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("model.safetensors")
    }

    fn open(&self) -> Checkpoint {
        Checkpoint::open(&self.path()).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn flip(&self, at: u64) {
        let file = OpenOptions::new().read(true).write(true).open(self.path()).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    }
}

fn origin() -> Checkpoint {
    Checkpoint::open(&fixture(PLAIN)).unwrap()
}

/// All numbers of a component as `to`, by canonical name.
fn numbers(checkpoint: &Checkpoint, component: Component, to: Number) -> BTreeMap<String, Vec<u8>> {
    let TensorIndex { files, tensors, .. } = checkpoint.tensor_index(component).unwrap();
    let architecture = checkpoint.architecture(component);
    let expected = architecture.tensors.iter().map(|tensor| {
        let (file, stored) = &tensors[&tensor.name];
        let piece = stored.piece().unwrap();
        let mut bytes = vec![0; piece.bytes()];
        for part in piece.parts().iter().filter(|part| part.bytes > 0) {
            let part_bytes = &mut bytes[part.at..part.at + part.bytes];
            files[*file].read_exact_at(part_bytes, part.offset).unwrap();
        }
        let mut out = vec![0; piece.numbers() * to.bytes() as usize];
        assert!(expand(&piece, &bytes, to, &mut out));
        (tensor.name.clone(), out)
    });
    expected.collect()
}

fn metadata(path: &Path) -> BTreeMap<String, String> {
    let bytes = fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    metadata.metadata().clone().unwrap().into_iter().collect()
}

#[test]
fn a_prepared_file_is_the_same_model() {
    let origin = origin();
    for dtype in TYPES {
        let prepared = Prepared::of(&origin, dtype, PreparedType::BFloat16);
        let found = prepared.open();
        found.verify().unwrap();
        assert_eq!(found.layout(), LayoutKind::AllInOne);
        assert_eq!(found.name, origin.name);
        assert_eq!(found.transformer, origin.transformer);
        assert_eq!(found.text_encoder, origin.text_encoder);
        assert_eq!(found.vae, origin.vae);
        assert_eq!(found.scheduler, origin.scheduler);
        assert_eq!(found.tokenizer().unwrap(), origin.tokenizer().unwrap());
        for component in [Component::TextEncoder, Component::Vae] {
            let (a, b) = (&found, &origin);
            let same = numbers(a, component, Number::Bf16) == numbers(b, component, Number::Bf16);
            assert!(same, "{component} as {dtype}");
        }
        let is_same = numbers(&found, Component::Transformer, Number::Bf16)
            == numbers(&origin, Component::Transformer, Number::Bf16);
        assert_eq!(is_same, dtype == PreparedType::BFloat16);
    }
}

#[test]
fn eight_bits_are_near_and_only_where_they_should_be() {
    let origin = origin();
    let exact = numbers(&origin, Component::Transformer, Number::F32);
    for (dtype, limit) in [(PreparedType::Float8, 0.04), (PreparedType::Int8, 0.02)] {
        let prepared = Prepared::of(&origin, dtype, dtype);
        let found = prepared.open();
        let index = found.tensor_index(Component::Transformer).unwrap();
        let encodings = |name: &str| index.tensors[name].1.encoding;
        let expected = |width: i64| match dtype {
            PreparedType::Float8 => ScaledFormat::Float8(Number::F8E4m3, ScaleScope::Row),
            _ => {
                let size = [256, 64, 16, 4].into_iter().find(|size| width % size == 0);
                let rotation = size.and_then(|size| Rotation::new(size as u64));
                ScaledFormat::Int8(ScaleScope::Row, rotation)
            }
        };
        let found_numbers = numbers(&found, Component::Transformer, Number::F32);
        for (name, exact) in &exact {
            let is_large = name.contains("attention.to_") || name.contains("feed_forward.");
            let is_main = name.starts_with("layers.");
            let is_matrix = match dtype {
                // As in ComfyUI's file: modulation, and blocks that are no main layers, too.
                PreparedType::Int8 => {
                    let is_of_block = is_main || name.contains("_refiner.");
                    is_of_block && (is_large || name.ends_with("adaLN_modulation.0.weight"))
                }
                _ => is_main && is_large,
            };
            if !is_matrix {
                assert_eq!(encodings(name), Encoding::Plain(Number::Bf16), "{name}");
                continue;
            }
            let width = *index.tensors[name].1.shape.last().unwrap();
            assert_eq!(encodings(name), Encoding::Scaled(expected(width)), "{name}");
            let singles = |bytes: &[u8]| {
                let (chunks, _) = bytes.as_chunks::<4>();
                chunks.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect::<Vec<_>>()
            };
            let (a, b) = (singles(exact), singles(&found_numbers[name]));
            let norm = a.iter().map(|a| a * a).sum::<f64>().sqrt();
            let off = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            assert!(off / norm < limit && off > 0.0, "{name}: {}", off / norm);
        }
        let index = found.tensor_index(Component::TextEncoder).unwrap();
        let (_, stored) = &index.tensors["layers.0.mlp.up_proj.weight"];
        assert!(matches!(stored.encoding, Encoding::Scaled(_)));
        let (_, stored) = &index.tensors["embed_tokens.weight"];
        assert_eq!(stored.encoding, Encoding::Plain(Number::Bf16));
    }
}

#[test]
fn the_reference_reader_finds_aligned_tensors_in_the_names_of_comfyui() {
    let prepared = Prepared::of(&origin(), PreparedType::Int8, PreparedType::BFloat16);
    let bytes = prepared.bytes();
    let (header, _) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!((header + 8) % 4096, 0);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let layer = "model.diffusion_model.layers.0.attention.qkv";
    let weight = file.tensor(&format!("{layer}.weight")).unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::I8, &[192, 64][..]));
    let scale = file.tensor(&format!("{layer}.weight_scale")).unwrap();
    assert_eq!((scale.dtype(), scale.shape()), (Dtype::F32, &[192, 1][..]));
    let quant = file.tensor(&format!("{layer}.comfy_quant")).unwrap();
    let quant: serde_json::Value = serde_json::from_slice(quant.data()).unwrap();
    let expected = serde_json::json!(
        {"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 64}
    );
    assert_eq!(quant, expected);
    // Width 170 has no rotation.
    let quant = file.tensor("model.diffusion_model.layers.0.feed_forward.w2.comfy_quant").unwrap();
    assert_eq!(quant.data(), br#"{"format": "int8_tensorwise"}"#);
    for name in [
        "text_encoders.qwen3_4b.transformer.model.norm.weight",
        "text_encoders.qwen3_4b.transformer.model.layers.3.mlp.up_proj.weight",
        "vae.decoder.up.3.block.0.conv1.weight",
    ] {
        assert_eq!(file.tensor(name).unwrap().dtype(), Dtype::BF16, "{name}");
    }
    let attention = file.tensor("vae.decoder.mid.attn_1.q.weight").unwrap();
    assert_eq!(attention.shape(), [24, 24, 1, 1]);
    let begin = bytes.as_ptr() as usize;
    for (name, tensor) in file.tensors() {
        let length = tensor.data().len();
        let at = tensor.data().as_ptr() as usize - begin;
        let alignment = 1 << length.trailing_zeros().min(12);
        assert_eq!(at % alignment, 0, "{name} of {length} bytes at {at}");
    }
}

#[test]
fn the_record_names_the_origin_without_its_folders() {
    let prepared = Prepared::of(&origin(), PreparedType::Float8, PreparedType::BFloat16);
    let metadata = metadata(&prepared.path());
    assert_eq!(metadata["format"], "pt");
    assert_eq!(metadata["zimg.dtype"], "float8");
    let origin: serde_json::Value = serde_json::from_str(&metadata["zimg.origin"]).unwrap();
    assert_eq!(origin["name"], "plain");
    let files = origin["files"].as_array().unwrap();
    assert!(files.len() >= 3);
    for file in files {
        let name = file["name"].as_str().unwrap();
        assert!(name.ends_with(".safetensors") && !name.contains('/'), "{name}");
        assert_eq!(file["header_sha256"].as_str().unwrap().len(), 64);
    }
}

#[test]
fn preparing_again_changes_no_number() {
    let origin = origin();
    for dtype in TYPES {
        let once = Prepared::of(&origin, dtype, dtype);
        let twice = Prepared::of(&once.open(), dtype, dtype);
        let tensors = |prepared: &Prepared| {
            let bytes = prepared.bytes();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let tensors = file.tensors().into_iter();
            tensors.map(|(name, view)| (name, view.data().to_vec())).collect::<BTreeMap<_, _>>()
        };
        assert!(tensors(&once) == tensors(&twice), "{dtype}");
    }
}

#[test]
fn gguf_is_prepared_as_it_is_loaded() {
    let files = ModelFiles {
        text_encoder: Some(fixture("tests/fixtures/layouts/text_encoder.gguf")),
        vae: Some(fixture("tests/fixtures/layouts/all-in-one.safetensors")),
        tokenizer: Some(fixture("tests/fixtures/reference/plain/tokenizer")),
        ..ModelFiles::at(&fixture("tests/fixtures/layouts/transformer.gguf"))
    };
    let origin = Checkpoint::open_files(&files).unwrap();
    let prepared = Prepared::of(&origin, PreparedType::BFloat16, PreparedType::BFloat16);
    let found = prepared.open();
    assert_eq!(found.text_encoder, origin.text_encoder);
    for component in Component::ALL {
        let read = |checkpoint| numbers(checkpoint, component, Number::Bf16);
        assert!(read(&found) == read(&origin), "{component}");
    }
}

#[test]
fn a_changed_byte_is_found_and_named() {
    let prepared = Prepared::of(&origin(), PreparedType::Float8, PreparedType::BFloat16);
    let verify = || verify_prepared(&prepared.path(), &mut |_| true);
    let found = verify().unwrap();
    assert_eq!((found.origin.as_str(), found.dtype.as_str()), ("plain", "float8"));
    assert_eq!(found.bytes, prepared.bytes().len() as u64);

    let bytes = prepared.bytes();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let place =
        |name: &str| file.tensor(name).unwrap().data().as_ptr() as u64 - bytes.as_ptr() as u64;
    for name in [
        "model.diffusion_model.layers.1.attention.qkv.weight_scale",
        "vae.decoder.conv_in.bias",
        "zimg.tokenizer_json",
    ] {
        let at = place(name);
        prepared.flip(at);
        match verify().unwrap_err() {
            PrepareError::Damaged { tensors, .. } => assert_eq!(tensors, [name]),
            other => panic!("{other}"),
        }
        prepared.flip(at);
    }
    // In the header: a digit of a configuration, which is still a configuration.
    let text = String::from_utf8_lossy(&bytes);
    let at = (text.find("scaling_factor").unwrap() + "scaling_factor\\\":".len()) as u64;
    prepared.flip(at);
    assert!(matches!(verify().unwrap_err(), PrepareError::Header { .. }));
    prepared.flip(at);
    verify().unwrap();

    let other = fixture("tests/fixtures/layouts/all-in-one.safetensors");
    let error = verify_prepared(&other, &mut |_| true).unwrap_err();
    assert!(matches!(error, PrepareError::NotPrepared { .. }), "{error}");
}

#[test]
fn an_ended_or_failed_write_is_no_checkpoint() {
    let origin = origin();
    let plan = PreparePlan::new(&origin, &PrepareOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = plan.write(&full, &mut |_| true).unwrap_err();
    assert!(matches!(error, PrepareError::Write(_)), "{error}");
    // A checkpoint that loses its end meanwhile.
    let copy = Copy::plain();
    let checkpoint = Checkpoint::open(copy.path()).unwrap();
    let plan = PreparePlan::new(&checkpoint, &PrepareOptions::default()).unwrap();
    let weights = copy.file("vae/diffusion_pytorch_model.safetensors");
    File::options().write(true).open(weights).unwrap().set_len(5000).unwrap();
    let error = plan.write(&File::create(&path).unwrap(), &mut |_| true).unwrap_err();
    assert!(matches!(error, PrepareError::Checkpoint(_)), "{error}");
    assert!(Checkpoint::open(&path).is_err());
}
