//! Variety: noise in the prompt that follows from the seed, in the first steps alone; without it nothing
//! changes.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

pub mod pipeline;

use pipeline::{PARTS, distance, fixture, load, options, params};
use tch::Tensor;
use zimage::{DType, Options, Params, Pipeline, Residency};

const STEPS: u32 = 5;
const SEED: u64 = 7;

fn with(variety: f32) -> Params {
    Params { variety: Some(variety), variety_steps: Some(0.4), ..params(STEPS) }
}

/// The latents after the last step, and their bytes after each one before.
fn drawn(pipeline: &Pipeline, params: &Params, seed: u64) -> (Tensor, Vec<Vec<u8>>) {
    let plan = pipeline.resolve(params).unwrap();
    let conditioning = pipeline.encode(&plan).unwrap();
    let mut generation = pipeline.start(&plan, seed, None).unwrap();
    let mut snapshots = Vec::new();
    while !generation.is_done() {
        let snapshot = pipeline.step_with_snapshot(&mut generation, &conditioning, false).unwrap();
        snapshots.push(snapshot.to_bytes().unwrap());
    }
    (generation.latents().copy(), snapshots)
}

#[test]
fn without_it_nothing_changes_whatever_was_drawn_before() {
    let fresh = load(&fixture("reference/plain"), options(DType::Float32));
    let (expected, _) = drawn(&fresh, &params(STEPS), SEED);
    let used = load(&fixture("reference/plain"), options(DType::Float32));
    let (varied, _) = drawn(&used, &with(0.5), SEED);
    assert!(distance(&varied, &expected) > 1e-4);
    for none in [params(STEPS), with(0.0)] {
        assert_eq!(drawn(&used, &none, SEED).0, expected);
    }
    assert_eq!(
        drawn(&used, &with(0.5), SEED).0,
        varied,
        "and the cached prompt does not change it"
    );
}

#[test]
fn more_of_it_changes_more_and_its_seed_decides_how() {
    let pipeline = load(&fixture("reference/plain"), options(DType::Float32));
    let of = |params: &Params| drawn(&pipeline, params, SEED).0;
    let plain = of(&params(STEPS));
    let far = [0.05, 0.5, 2.0].map(|variety| distance(&of(&with(variety)), &plain));
    assert!(0.0 < far[0] && far[0] < far[1] && far[1] < far[2], "{far:?}");
    let half = with(0.5);
    let own = Params { variety_seed: Some(SEED), ..half.clone() };
    assert_eq!(of(&own), of(&half), "its seed is the image's if none is given");
    let other = Params { variety_seed: Some(SEED + 1), ..half.clone() };
    let all = Params { variety_share: Some(1.0), ..half.clone() };
    let longer = Params { variety_steps: Some(1.0), ..half.clone() };
    let images = [of(&half), of(&other), of(&all), of(&longer)];
    for (i, a) in images.iter().enumerate() {
        assert!(images[..i].iter().all(|b| distance(a, b) > 1e-5), "{i}");
    }
}

#[test]
fn the_steps_after_the_first_ones_see_the_prompt_as_it_is() {
    let pipeline = load(&fixture("reference/plain"), options(DType::Float32));
    let (varied, snapshots) = drawn(&pipeline, &with(0.5), SEED);
    let plan = pipeline.resolve(&params(STEPS)).unwrap();
    let conditioning = pipeline.encode(&plan).unwrap();
    // Two of five steps have it.
    for (step, same) in [(1, false), (2, true), (4, true)] {
        let latents = &snapshots[step as usize - 1];
        let mut rest = pipeline.resume(&plan, SEED, step, latents, None).unwrap();
        while !rest.is_done() {
            pipeline.step(&mut rest, &conditioning).unwrap();
        }
        assert_eq!(*rest.latents() == varied, same, "{step}");
    }
}

#[test]
fn an_image_that_is_resumed_anywhere_under_any_plan_is_the_same_to_the_bit() {
    let guided = Params { guidance: Some(3.0), negative: Some("blur".into()), ..with(0.5) };
    for (dtype, asked) in [(DType::Float32, with(0.5)), (DType::BFloat16, guided)] {
        let at = |residency: Residency| {
            let of = Options { residency, ..options(dtype) };
            load(&fixture("reference/odd"), of)
        };
        let (whole, snapshots) = drawn(&at(Residency::All), &asked, u64::MAX);
        for residency in PARTS {
            let pipeline = at(residency);
            let plan = pipeline.resolve(&asked).unwrap();
            for (step, latents) in (1..STEPS).zip(&snapshots) {
                let conditioning = pipeline.encode(&plan).unwrap();
                let mut rest = pipeline.resume(&plan, u64::MAX, step, latents, None).unwrap();
                while !rest.is_done() {
                    pipeline.step(&mut rest, &conditioning).unwrap();
                }
                assert_eq!(*rest.latents(), whole, "{dtype:?} {residency:?} {step}");
            }
        }
    }
}
