//! Comparison with the programs that define the encodings: `tests/fixtures/encodings`, written by
//! `contrib/lab/checkpoints/make_encodings.py`.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::format;
use crate::source::{DataFile, Source};
use crate::stored_tensor::StoredTensor;

/// The files, and how many tensors each has.
const FILES: [(&str, usize); 4] = [
    ("blocks.gguf", 20),
    ("comfy_quant.safetensors", 15),
    ("metadata.safetensors", 14),
    ("scaled_fp8.safetensors", 2),
];

fn open(name: &str) -> (DataFile, BTreeMap<String, StoredTensor>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/encodings");
    let file = Source::Folder(folder).open(name).unwrap();
    let tensors = format::read(&file).unwrap().tensors.into_iter().collect();
    (file, tensors)
}

/// The numbers of a tensor, read piece by piece.
fn expanded(file: &DataFile, stored: &StoredTensor, bytes: u64, to: Number) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in stored.pieces(bytes, u64::MAX) {
        let mut buffer = vec![0xff; piece.bytes()];
        for part in piece.parts() {
            file.read_exact_at(&mut buffer[part.at..part.at + part.bytes], part.offset).unwrap();
        }
        let mut out = vec![0; piece.numbers() * to.bytes() as usize];
        assert!(expand(&piece, &buffer, to, &mut out));
        all.extend(out);
    }
    all
}

#[test]
fn every_encoding_has_the_numbers_of_its_own_tools_to_the_bit() {
    let (expected_file, expected) = open("expected.safetensors");
    let mut encodings = std::collections::BTreeSet::new();
    for (name, count) in FILES {
        let (file, tensors) = open(name);
        assert_eq!(tensors.len(), count, "{name}: {:?}", tensors.keys());
        for (name, stored) in &tensors {
            let name = name.strip_prefix("model.diffusion_model.").unwrap_or(name);
            if name == "old.bias" {
                continue;
            }
            encodings.insert(stored.encoding.to_string());
            let wanted = &expected[name];
            assert_eq!(stored.shape, wanted.shape, "{name}");
            let wanted = expanded(&expected_file, wanted, u64::MAX, Number::F32);
            for bytes in [u64::MAX, 1, 5000] {
                let found = expanded(&file, stored, bytes, Number::F32);
                let differ = found.chunks(4).zip(wanted.chunks(4)).position(|(a, b)| a != b);
                assert_eq!(differ, None, "{name} ({}), {bytes}", stored.encoding);
            }
            // Rows alone are the rows of the whole.
            let row = wanted.len() / stored.shape[0] as usize;
            let part = stored.narrow_rows(1..stored.shape[0]).unwrap();
            assert_eq!(expanded(&file, &part, 2000, Number::F32), wanted[row..], "{name}");
        }
    }
    // 5 plain types, 12 blocks, and 7 formats of which one has two names.
    assert_eq!(encodings.len(), 24, "{encodings:?}");
}

#[test]
fn other_types_are_rounded_from_float32() {
    let (file, tensors) = open("blocks.gguf");
    for (name, stored) in &tensors {
        let wide = expanded(&file, stored, u64::MAX, Number::F32);
        let wide = wide.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let rounded = wide.flat_map(|value| numbers::to_bf16(value).to_le_bytes());
        let found = expanded(&file, stored, u64::MAX, Number::Bf16);
        assert_eq!(found, rounded.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let (_, tensors) = open("comfy_quant.safetensors");
    let piece = tensors["nvfp4.weight"].piece().unwrap();
    let bytes = vec![0; piece.bytes()];
    let mut out = vec![0; piece.numbers() * 2];
    assert!(expand(&piece, &bytes, Number::Bf16, &mut out));
    assert!(!expand(&piece, &bytes[1..], Number::Bf16, &mut out));
    assert!(!expand(&piece, &bytes, Number::F32, &mut out));
    assert!(!expand(&piece, &bytes, Number::F8E4m3, &mut out[..piece.numbers()]));
}
