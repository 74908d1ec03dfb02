//! Packed weights: quantised matrices that stay as the file has them give the same bits as expanded
//! ones, wherever they are.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::PathBuf;

use tempfile::TempDir;
use zimage::{Checkpoint, DType, Options};

pub mod forms;
pub mod pipeline;
use forms::{Quantise, changed, comfy, float8, int8};
use pipeline::{PARTS, distance, fixture, latents, load, options, params};

/// A copy of a fixture whose blocks' matrices are quantised as ComfyUI writes them.
fn quantised(name: &str, format: &str, quantise: Quantise) -> (TempDir, PathBuf) {
    let copy = changed(&fixture(&format!("reference/{name}")), &forms::PARTS, |_, tensors| {
        comfy(tensors, format, quantise)
    });
    let folder = copy.path().to_owned();
    (copy, folder)
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

/// The numbers of a float8 file are multiplied as they are, wherever they are.
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
    // Of other numbers they are made: once of what stays, of streamed weights for each product.
    let (_copy, integers) = quantised("plain", "int8_tensorwise", int8);
    for (folder, packed) in [(fixture("reference/plain"), false), (integers, true)] {
        let expected = latents(&load(&folder, options(DType::Float8)), &params(2));
        for residency in PARTS {
            let options = Options { residency, packed, ..options(DType::Float8) };
            assert_eq!(latents(&load(&folder, options), &params(2)), expected, "{residency:?}");
        }
    }
}
