//! Several images, and both predictions of guidance, computed together: as one by one, to rounding.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

pub mod pipeline;
use pipeline::{distance, fixture, load, options, params};
use tch::Tensor;
use zimage::{DType, Params, Pipeline};

const STEPS: u32 = 3;

/// The latents of so many images after all steps.
fn drawn(pipeline: &Pipeline, params: &Params, images: u64, together: bool) -> Vec<Tensor> {
    let plan = pipeline.resolve(params).unwrap();
    let conditioning = pipeline.encode(&plan).unwrap();
    let start = |seed| pipeline.start(&plan, seed, None).unwrap();
    let mut all: Vec<_> = (0..images).map(start).collect();
    for _ in 0..STEPS {
        if together {
            pipeline.step_together(&mut all, &conditioning).unwrap();
        } else {
            all.iter_mut().for_each(|image| pipeline.step(image, &conditioning).unwrap());
        }
    }
    all.iter().map(|image| image.latents().copy()).collect()
}

#[test]
fn images_together_are_those_one_by_one() {
    // The last has prompts of 32 and of 64 tokens side by side.
    let long = "a red fox in the snow under a pine tree, with mountains far behind it, in the evening \
                light of a winter day, as a photograph on old film";
    let guided = |negative: &str| Params {
        guidance: Some(3.0),
        negative: Some(negative.into()),
        guidance_truncation: Some(0.7),
        ..params(STEPS)
    };
    let varied = Params { variety: Some(0.5), ..params(STEPS) };
    for fixture_name in ["plain", "odd"] {
        let pipeline =
            load(&fixture(&format!("reference/{fixture_name}")), options(DType::Float32));
        for asked in [params(STEPS), varied.clone(), guided("blur"), guided(long)] {
            let expected = drawn(&pipeline, &asked, 3, false);
            let together = drawn(&pipeline, &asked, 3, true);
            assert!(distance(&expected[0], &expected[1]) > 0.1, "seeds differ");
            for (image, (ours, theirs)) in together.iter().zip(&expected).enumerate() {
                let far = distance(ours, theirs);
                assert!(far < 1e-5, "{fixture_name} {image}: {far}");
            }
            pipeline.guide_together(true);
            let pairs = drawn(&pipeline, &asked, 1, false);
            pipeline.guide_together(false);
            assert!(distance(&pairs[0], &expected[0]) < 1e-5);
        }
    }
}

#[test]
fn images_at_several_steps_do_not_go_on_together() {
    let pipeline = load(&fixture("reference/plain"), options(DType::Float32));
    let plan = pipeline.resolve(&params(STEPS)).unwrap();
    let conditioning = pipeline.encode(&plan).unwrap();
    let mut all: Vec<_> = (0..2).map(|seed| pipeline.start(&plan, seed, None).unwrap()).collect();
    pipeline.step(&mut all[0], &conditioning).unwrap();
    pipeline.step_together(&mut all, &conditioning).unwrap_err();
    pipeline.step_together(&mut [], &conditioning).unwrap();
}
