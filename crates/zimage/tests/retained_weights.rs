//! Retained weights: a pipeline on weights of an earlier one generates the same bits, and leaves
//! them unchanged.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use tch::{Device, Tensor};
use zimage::weights::LoadedFrom;
use zimage::{Checkpoint, DType, Image, LoadingPipeline, Options, Params, Pipeline};

fn checkpoint() -> Checkpoint {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference/odd");
    Checkpoint::open(&fixture).unwrap()
}

fn options(dtype: DType) -> Options {
    Options {
        device: Device::Cpu,
        dtype,
        eager: false,
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    }
}

fn generate(pipeline: &Pipeline) -> (Tensor, Image) {
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
    (generation.latents().copy(), pipeline.decode(&generation).unwrap())
}

#[test]
fn retained_weights_generate_the_same_bits_and_nothing_writes_into_them() {
    for dtype in [DType::Float32, DType::BFloat16, DType::Float16, DType::Float8] {
        let first = Pipeline::load(&checkpoint(), &options(dtype), &mut |_| {}).unwrap();
        let (latents, image) = generate(&first);
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
        let (again, same) = generate(&second);
        assert_eq!(again, latents, "{dtype}");
        assert!(same.rgb == image.rgb, "{dtype}");
        second.check_weights().unwrap();
    }
}

#[test]
fn weights_of_float32_are_not_taken_for_bfloat16() {
    let first = Pipeline::load(&checkpoint(), &options(DType::Float32), &mut |_| {}).unwrap();
    let retained = first.retain().unwrap();
    let error = LoadingPipeline::from_retained(&checkpoint(), &options(DType::BFloat16), retained)
        .unwrap_err();
    assert!(error.to_string().starts_with("the weights are not retained: "), "{error}");
}
