//! 8-bit integers: what `--dtype int8` makes of a checkpoint while it is read is what a prepared file
//! has, wherever the weights are, and it stays near the numbers that it is made of.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::File;
use std::path::PathBuf;

use tempfile::TempDir;
use zimage::checkpoint::{
    Component, ModelFiles, PrepareOptions, PreparePlan, PreparedType, is_block_matrix,
};
use zimage::{Checkpoint, DType, Options};

pub mod pipeline;
use pipeline::{PARTS, distance, fixture, latents, load, loaded, options, params, retained};

/// A fixture, and the file of integers that is prepared of it.
fn prepared(name: &str) -> (PathBuf, TempDir, Checkpoint) {
    let origin = fixture(&format!("reference/{name}"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("int8.safetensors");
    let options = PrepareOptions { dtype: PreparedType::Int8, ..PrepareOptions::default() };
    let plan = PreparePlan::new(&Checkpoint::open(&origin).unwrap(), &options).unwrap();
    plan.write(&File::create(&path).unwrap(), &mut |_| true).unwrap();
    let checkpoint = Checkpoint::open_files(&ModelFiles::at(&path)).unwrap();
    (origin, folder, checkpoint)
}

/// Widths of 64, 48 and 260: rotations of 64, 16 and 4. bfloat16, float16 and float32 in files.
#[test]
fn integers_made_while_reading_are_those_of_a_prepared_file() {
    for (name, dtype, plain, parts) in [
        ("plain", DType::Int8, DType::BFloat16, &PARTS[..]),
        ("plain", DType::Int8Float16, DType::Float16, &PARTS[2..]),
        ("odd", DType::Int8, DType::BFloat16, &PARTS[1..2]),
        ("broad", DType::Int8Float16, DType::Float16, &PARTS[..1]),
    ] {
        let (origin, _folder, file) = prepared(name);
        // Expanded once, as any file of integers under another dtype.
        let expected = latents(&loaded(&file, options(plain)), &params(2));
        for &residency in parts {
            let options = Options { residency, ..options(dtype) };
            let made = latents(&load(&origin, options), &params(2));
            assert_eq!(made, expected, "{name} {dtype} {residency:?} made");
            let read = latents(&loaded(&file, options), &params(2));
            assert_eq!(read, expected, "{name} {dtype} {residency:?} read");
        }
    }
}

#[test]
fn int8_stays_nearer_to_bfloat16_than_float8_and_is_another() {
    for name in ["plain", "odd"] {
        let folder = fixture(&format!("reference/{name}"));
        let of = |dtype| latents(&load(&folder, options(dtype)), &params(4));
        let exact = of(DType::Float32);
        let (int8, float8) = (of(DType::Int8), of(DType::Float8));
        let brain = of(DType::BFloat16);
        let far = distance(&int8, &brain);
        assert!(far > 1e-3, "{name}: int8 computed in bfloat16: {far}");
        let (far, other) = (distance(&int8, &exact), distance(&float8, &exact));
        assert!(far < other / 1.5, "{name}: int8 is {far} from float32, and float8 {other}");
    }
}

/// A killed worker's weights are integers already: nothing is read or made again, but what is streamed.
#[test]
fn integers_are_retained() {
    let origin = Checkpoint::open(&fixture("reference/plain")).unwrap();
    for residency in PARTS {
        let options = Options { residency, ..options(DType::Int8) };
        let first = loaded(&origin, options);
        let expected = latents(&first, &params(2));
        first.check_weights().unwrap();
        let second = retained(&origin, options, first);
        assert_eq!(latents(&second, &params(2)), expected, "{residency:?}");
    }
}

#[test]
fn integers_are_not_taken_for_numbers() {
    let origin = Checkpoint::open(&fixture("reference/plain")).unwrap();
    for (first, second) in [(DType::Int8, DType::BFloat16), (DType::BFloat16, DType::Int8)] {
        let weights = loaded(&origin, options(first)).retain().unwrap();
        let error =
            zimage::LoadingPipeline::from_retained(&origin, &options(second), weights).unwrap_err();
        assert!(error.to_string().starts_with("the weights are not retained: "), "{error}");
    }
}

/// The arenas have a byte for each number of a block's matrix, and four for a row.
#[test]
fn integers_take_half_of_the_memory() {
    let origin = Checkpoint::open(&fixture("reference/plain")).unwrap();
    let bytes = |dtype| loaded(&origin, options(dtype)).retain().unwrap().bytes();
    let matrices = origin.architecture(Component::Transformer).tensors;
    let matrices = matrices.iter().filter(|tensor| {
        let part = tensor.name.splitn(3, '.').nth(2);
        part.is_some_and(is_block_matrix)
    });
    let saved: i64 = matrices.map(|t| t.shape[0] * (t.shape[1] - 4)).sum();
    let found = bytes(DType::BFloat16) - bytes(DType::Int8);
    // Each begins at a multiple of 256.
    let off = found as f64 / saved as f64;
    assert!((0.8..=1.0).contains(&off), "{found} of {saved} bytes are saved");
}
