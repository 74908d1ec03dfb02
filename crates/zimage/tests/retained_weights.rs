//! Retained weights: a pipeline on weights of an earlier one generates the same bits, and leaves
//! them unchanged.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use zimage::weights::LoadedFrom;
use zimage::{Checkpoint, DType, LoadingPipeline};

pub mod pipeline;
use pipeline::{fixture, generate, loaded, options, params};

fn checkpoint() -> Checkpoint {
    Checkpoint::open(&fixture("reference/odd")).unwrap()
}

#[test]
fn retained_weights_generate_the_same_bits_and_nothing_writes_into_them() {
    for dtype in [
        DType::Float32,
        DType::BFloat16,
        DType::Float16,
        DType::Float8,
        DType::Int8,
        DType::Int8Float16,
    ] {
        let first = loaded(&checkpoint(), options(dtype));
        let (latents, image) = generate(&first, &params(2)).unwrap();
        // Each process sees its own stray writes.
        first.check_weights().unwrap();
        let retained = first.retain().unwrap();
        drop(first);

        let (loading, mut loader) =
            LoadingPipeline::from_retained(&checkpoint(), &options(dtype), retained).unwrap();
        loader.run(&mut |_| panic!("nothing is read")).unwrap();
        assert!(
            matches!(loader.loaded_from(), LoadedFrom::Retained(bytes) if bytes > 100_000),
            "{dtype}"
        );
        let second = loading.complete(loader).unwrap();
        let (again, same) = generate(&second, &params(2)).unwrap();
        assert_eq!(again, latents, "{dtype}");
        assert!(same.rgb == image.rgb, "{dtype}");
        second.check_weights().unwrap();
    }
}

#[test]
fn weights_of_float32_are_not_taken_for_bfloat16() {
    let first = loaded(&checkpoint(), options(DType::Float32));
    let retained = first.retain().unwrap();
    let error = LoadingPipeline::from_retained(&checkpoint(), &options(DType::BFloat16), retained)
        .unwrap_err();
    assert!(error.to_string().starts_with("the weights are not retained: "), "{error}");
}
