//! Resuming: a generation that is resumed from a snapshot, in another pipeline, is the same image.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use tch::Device;
use zimage::{Checkpoint, DType, Error, Image, Options, Params, Pipeline, ResolvedParams};

const STEPS: u32 = 4;

fn load(fixture: &str, dtype: DType) -> Pipeline {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference");
    let checkpoint = Checkpoint::open(&fixtures.join(fixture)).unwrap();
    let options = Options {
        device: Device::Cpu,
        dtype,
        eager: false,
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    };
    Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap()
}

fn params() -> Params {
    Params {
        prompt: "a red fox in the snow".into(),
        width: Some(96),
        height: Some(64),
        steps: Some(STEPS),
        ..Params::default()
    }
}

fn guided() -> Params {
    Params {
        negative: Some("blur".into()),
        guidance: Some(3.0),
        guidance_normalization: Some(1.0),
        guidance_truncation: Some(0.8),
        ..params()
    }
}

/// The image, and the snapshot after each step but the last.
fn generate(pipeline: &Pipeline, plan: &ResolvedParams, seed: u64) -> (Image, Vec<Vec<u8>>) {
    let conditioning = pipeline.encode(plan).unwrap();
    let mut generation = pipeline.start(plan, seed, None).unwrap();
    let mut snapshots = Vec::new();
    while generation.steps_done() + 1 < plan.steps as usize {
        let step = pipeline.step_with_snapshot(&mut generation, &conditioning, false).unwrap();
        snapshots.push(step.to_bytes().unwrap());
    }
    pipeline.step(&mut generation, &conditioning).unwrap();
    (pipeline.decode(&generation).unwrap(), snapshots)
}

#[test]
fn an_image_that_another_pipeline_resumes_is_the_same_to_the_bit() {
    for (fixture, dtype) in
        [("plain", DType::Float32), ("odd", DType::BFloat16), ("broad", DType::Float16)]
    {
        let (first, second) = (load(fixture, dtype), load(fixture, dtype));
        for (params, seed) in [(params(), 1), (guided(), u64::MAX)] {
            let plan = first.resolve(&params).unwrap();
            let (whole, snapshots) = generate(&first, &plan, seed);
            for (step, bytes) in (1..).zip(&snapshots) {
                let conditioning = second.encode(&plan).unwrap();
                let mut generation = second.resume(&plan, seed, step, bytes, None).unwrap();
                assert_eq!((generation.steps_done(), generation.seed()), (step as usize, seed));
                while !generation.is_done() {
                    second.step(&mut generation, &conditioning).unwrap();
                }
                let image = second.decode(&generation).unwrap();
                assert!(image == whole, "{fixture}, {params:?}, from step {step}");
            }
        }
    }
}

#[test]
fn a_snapshot_that_does_not_fit_is_refused_in_a_sentence() {
    let pipeline = load("plain", DType::Float32);
    let plan = pipeline.resolve(&params()).unwrap();
    let bytes = pipeline.snapshot_bytes(&plan);
    let refused = |step, bytes: &[u8]| match pipeline.resume(&plan, 0, step, bytes, None) {
        Err(error @ Error::NotResumable(_)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    };
    assert!(refused(STEPS, &vec![0; bytes]).ends_with("step 4 is not before the last of 4"));
    assert!(refused(u32::MAX, &vec![0; bytes]).contains("4294967295"));
    for length in [0, 4, bytes - 1, bytes + 4] {
        let said = refused(1, &vec![0; length]);
        assert!(said.ends_with(&format!("have {length} bytes instead of {bytes}")), "{said}");
    }
    let mut infinite = vec![0; bytes];
    infinite[bytes - 4..].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    assert!(refused(1, &infinite).ends_with("its latents are not finite numbers"));
    pipeline.resume(&plan, 0, 1, &vec![0; bytes], None).unwrap();
}
