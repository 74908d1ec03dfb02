//! Quantised files of other programs: the latents are those that diffusers computes from the numbers
//! which these programs find in them.
//!
//! `contrib/lab/checkpoints/make_quantised.py` made the files and the latents.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::HashMap;

use tch::{Kind, Tensor};
use zimage::checkpoint::{ModelFiles, ModelKind};
use zimage::{Checkpoint, DType, Options};

pub mod pipeline;
use pipeline::{fixture, loaded, options, params};

/// The limit of `docs/parity.md` for final latents, by norm and by largest value.
const LIMIT: f64 = 1e-4;
/// What bfloat16 is from float32 at most; the quantisation itself is further.
const BFLOAT16: f64 = 0.03;

/// These files, with what they lack from the checkpoint `plain`.
fn files(transformer: &str, text_encoder: &str) -> ModelFiles {
    ModelFiles {
        text_encoder: Some(fixture(text_encoder)),
        vae: Some(fixture("layouts/all-in-one.safetensors")),
        tokenizer: Some(fixture("reference/plain/tokenizer")),
        kind: Some(ModelKind::Turbo),
        ..ModelFiles::at(&fixture(transformer))
    }
}

fn latents(files: &ModelFiles, dtype: DType, packed: bool) -> Tensor {
    let checkpoint = Checkpoint::open_files(files).unwrap();
    let pipeline = loaded(&checkpoint, Options { packed, ..options(dtype) });
    pipeline::latents(&pipeline, &params(4)).to_kind(Kind::Double)
}

/// How far two latents are from each other: the larger of the norm's and the largest value's part.
fn distance(ours: &Tensor, theirs: &Tensor) -> f64 {
    let difference = ours - theirs;
    let norm = (difference.norm() / theirs.norm()).double_value(&[]);
    let largest = (difference.abs().max() / theirs.abs().max()).double_value(&[]);
    if norm.is_nan() { norm } else { norm.max(largest) }
}

#[test]
fn quantised_files_give_the_latents_of_the_dequantised_weights() {
    let expected: HashMap<String, Tensor> =
        Tensor::read_safetensors(fixture("quantised/latents.safetensors"))
            .unwrap()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_kind(Kind::Double)))
            .collect();
    let exact = "layouts/all-in-one.safetensors";
    for (name, files) in [
        ("exact", files(exact, exact)),
        ("gguf", files("quantised/mixed.gguf", exact)),
        ("comfy", files("quantised/mixed.safetensors", "quantised/text_encoder.safetensors")),
    ] {
        let theirs = &expected[name];
        // Weights that were not quantised, or otherwise, would be seen.
        let off = distance(&expected["exact"], theirs);
        assert!(name == "exact" || off > BFLOAT16, "{name}: {off:.2e}");
        for packed in [false, true] {
            let off = distance(&latents(&files, DType::Float32, packed), theirs);
            println!("{name}: {off:.1e} as float32, packed {packed}");
            assert!(off <= LIMIT, "{name}, packed {packed}: {off:.2e}");
        }
        let off = distance(&latents(&files, DType::BFloat16, false), theirs);
        println!("{name}: {off:.1e} as bfloat16");
        assert!(off <= BFLOAT16, "{name} as bfloat16: {off:.2e}");
    }
}

/// gguf does not write k-quants, but any bytes are a block: a transformer of random ones.
#[test]
fn k_quants_give_the_latents_of_the_dequantised_weights() {
    let latents_of = Tensor::read_safetensors(fixture("quantised/k_latents.safetensors")).unwrap();
    let theirs = latents_of[0].1.to_kind(Kind::Double);
    let files = files("quantised/k_quants.gguf", "layouts/all-in-one.safetensors");
    let packed = latents(&files, DType::Float32, true);
    assert!(packed == latents(&files, DType::Float32, false), "packed blocks are other numbers");
    let off = distance(&packed, &theirs);
    println!("k-quants: {off:.1e} as float32");
    assert!(off <= LIMIT, "{off:.2e}");
    for dtype in [DType::BFloat16, DType::Float16] {
        let off = distance(&latents(&files, dtype, true), &theirs);
        println!("k-quants: {off:.1e} as {dtype}");
        assert!(off <= BFLOAT16, "as {dtype}: {off:.2e}");
    }
}
