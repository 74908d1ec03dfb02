//! Image inputs: the same numbers as diffusers' `ZImageImg2ImgPipeline` and `ZImageInpaintPipeline`, in
//! float32 on the CPU; resumed, the same image to the bit.
//!
//! The reference values are made by `contrib/lab/reference/image_cases.py`. `ZIMG_FIXTURE` names another
//! folder of them, and `ZIMG_IMAGE_PARITY_TABLE` a file for the table. `make parity` does both.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use zimage::{
    Checkpoint, DType, EncodedImages, Error, Generation, ImageInputs, Options, Params, Pipeline,
    Residency, ResolvedParams, schedule,
};

/// As `parity.rs`: of latents, relative to the reference's by norm and by the largest value; the share of
/// colour values that may differ, by 1 of 255.
const LATENTS: f64 = 1e-4;
const VALUES: f64 = 1e-4;

#[derive(Deserialize)]
struct Manifest {
    first_steps: Vec<FirstSteps>,
    cases: Vec<Case>,
}

/// The first step that is computed at strengths of 0.01 to 1.
#[derive(Deserialize)]
struct FirstSteps {
    steps: u32,
    first: Vec<u32>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    checkpoint: String,
    width: u32,
    height: u32,
    strength: Option<f32>,
    mask: Option<String>,
    steps: u32,
    seed: u64,
    count: u32,
    guidance: f32,
    negative: Option<String>,
    normalization: f32,
    truncation: f32,
    prompt: String,
}

struct Fixture {
    folder: PathBuf,
    manifest: Manifest,
}

/// A case, ready to be generated.
struct Request {
    expected: HashMap<String, Tensor>,
    inputs: ImageInputs,
    params: ResolvedParams,
}

impl Fixture {
    fn open() -> Self {
        let folder = std::env::var_os("ZIMG_FIXTURE").map_or_else(
            || concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference").into(),
            PathBuf::from,
        );
        let manifest = std::fs::read(folder.join("images.json")).unwrap();
        Self { manifest: serde_json::from_slice(&manifest).unwrap(), folder }
    }

    fn pipeline(&self, checkpoint: &str, dtype: DType) -> Pipeline {
        let checkpoint = Checkpoint::open(&self.folder.join(checkpoint)).unwrap();
        let options = Options {
            device: Device::Cpu,
            dtype,
            eager: false,
            residency: Residency::All,
            packed: false,
            pinned: false,
        };
        Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap()
    }

    fn pipelines(&self) -> HashMap<&str, Pipeline> {
        let names = self.manifest.cases.iter().map(|case| &*case.checkpoint);
        let mut pipelines = HashMap::new();
        for name in names {
            pipelines.entry(name).or_insert_with(|| self.pipeline(name, DType::Float32));
        }
        pipelines
    }

    fn request(&self, case: &Case, pipeline: &Pipeline) -> Request {
        let file = self.folder.join("images").join(format!("{}.safetensors", case.name));
        let expected: HashMap<_, _> = Tensor::read_safetensors(file).unwrap().into_iter().collect();
        let bytes = |name: &str| Vec::<u8>::try_from(expected[name].flatten(0, -1)).unwrap();
        let inputs = ImageInputs {
            initial: Some(bytes("initial")),
            mask: case.mask.as_ref().map(|_| bytes("mask")),
            control: None,
        };
        let params = Params {
            negative: case.negative.clone(),
            width: Some(case.width),
            height: Some(case.height),
            steps: Some(case.steps),
            guidance: Some(case.guidance),
            guidance_normalization: Some(case.normalization),
            guidance_truncation: Some(case.truncation),
            strength: case.strength,
            ..Params::new(case.prompt.clone())
        };
        let params = pipeline.resolve_with(&params, inputs.images()).unwrap();
        Request { expected, inputs, params }
    }
}

/// How far `ours` is from `theirs`: by the norm, and by the largest value.
fn distance(ours: &Tensor, theirs: &Tensor) -> (f64, f64) {
    assert_eq!(ours.size(), theirs.size());
    let (ours, theirs) = (ours.to_kind(Kind::Double), theirs.to_kind(Kind::Double));
    let difference = &ours - &theirs;
    let norm = |x: &Tensor| x.norm().double_value(&[]);
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    (norm(&difference) / norm(&theirs), largest(&difference) / largest(&theirs))
}

fn is_close((norm, largest): (f64, f64), limit: f64) -> bool {
    // Written so that NaN fails.
    norm <= limit && largest <= limit
}

/// A row of the table, and whether it is within the limits.
fn compare(case: &Case, pipeline: &Pipeline, request: &Request) -> (String, bool) {
    let Request { expected, inputs, params } = request;
    let conditioning = pipeline.encode(params).unwrap();
    let images = pipeline.encode_images(params, inputs).unwrap();
    let (mut latents, mut rgb) = (Vec::new(), Vec::new());
    let mut passes = 0;
    for i in 0..case.count {
        let seed = case.seed + u64::from(i);
        let mut generation = pipeline.start(params, seed, Some(&images)).unwrap();
        let assert_stage = |generation: &Generation, stage: &str| {
            let theirs = expected[stage].get(i64::from(i)).unsqueeze(0);
            let far = distance(generation.latents(), &theirs);
            assert!(is_close(far, 1e-5), "{}: `{stage}` of image {i} is {far:?} off", case.name);
        };
        assert_stage(&generation, "start");
        passes = case.steps as usize - generation.steps_done();
        let first = generation.steps_done();
        while !generation.is_done() {
            pipeline.step(&mut generation, &conditioning).unwrap();
            if generation.steps_done() == first + 1 {
                assert_stage(&generation, "after");
            }
        }
        latents.push(generation.latents().copy());
        rgb.extend(pipeline.decode(&generation).unwrap().rgb);
    }
    let theirs = Vec::<u8>::try_from(expected["picture"].flatten(0, -1)).unwrap();
    assert_eq!(rgb.len(), theirs.len(), "{}", case.name);
    let differences = || rgb.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).filter(|&d| d > 0);
    let far = distance(&Tensor::cat(&latents, 0), &expected["latents"]);
    let (differing, largest) = (differences().count(), differences().max().unwrap_or(0));
    let is_equal = is_close(far, LATENTS)
        && largest <= 1
        && differing as f64 <= (VALUES * rgb.len() as f64).ceil();
    let Case { name, width, height, steps, guidance, count, .. } = case;
    let strength = params.strength.unwrap();
    let mask = case.mask.as_deref().unwrap_or("none");
    let row = format!(
        "| {name} | {width}×{height} | {strength} | {passes} of {steps} | {mask} | {guidance} | {count} \
         | {:.1e} | {:.1e} | {differing} of {} | {largest} |",
        far.0,
        far.1,
        rgb.len()
    );
    (row, is_equal)
}

#[test]
fn latents_and_images() {
    let fixture = Fixture::open();
    let pipelines = fixture.pipelines();
    let mut table = String::from(
        "| case | size | strength | steps | mask | guidance | images | latents, norm | latents, largest \
         | values that differ | by at most |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut failed = Vec::new();
    for case in &fixture.manifest.cases {
        let pipeline = &pipelines[&*case.checkpoint];
        let (row, is_equal) = compare(case, pipeline, &fixture.request(case, pipeline));
        writeln!(table, "{row}").unwrap();
        if !is_equal {
            failed.push(&*case.name);
        }
    }
    println!("{table}");
    if let Some(file) = std::env::var_os("ZIMG_IMAGE_PARITY_TABLE") {
        std::fs::write(file, &table).unwrap();
    }
    assert!(failed.is_empty(), "not equal to the reference: {}\n{table}", failed.join(", "));
}

#[test]
fn the_first_step_is_the_references() {
    let manifest = Fixture::open().manifest;
    assert!(manifest.first_steps.len() > 5);
    for FirstSteps { steps, first } in manifest.first_steps {
        assert_eq!(first.len(), 100);
        for (percent, first) in (1..).zip(first) {
            // As it is typed, and as a client computes it.
            let typed: f32 = format!("0.{percent:02}").parse().unwrap_or(1.0);
            let strength = if percent == 100 { 1.0 } else { typed };
            assert_eq!(schedule::first_step(steps, strength), first, "{percent} % of {steps}");
        }
    }
}

/// The latents after each step, and at the end the image.
fn rest(
    pipeline: &Pipeline,
    params: &ResolvedParams,
    mut generation: Generation,
) -> (Vec<Vec<u8>>, Vec<u8>) {
    let conditioning = pipeline.encode(params).unwrap();
    let mut snapshots = Vec::new();
    while !generation.is_done() {
        let snapshot = pipeline.step_with_snapshot(&mut generation, &conditioning, false).unwrap();
        snapshots.push(snapshot.to_bytes().unwrap());
    }
    (snapshots, pipeline.decode(&generation).unwrap().rgb)
}

#[test]
fn an_image_that_another_pipeline_resumes_at_any_step_is_the_same_to_the_bit() {
    let fixture = Fixture::open();
    for (name, dtype) in [
        ("guided", DType::Float32),
        ("mask-grey", DType::BFloat16),
        ("mask-guided", DType::Float16),
    ] {
        let case = fixture.manifest.cases.iter().find(|case| case.name == name).unwrap();
        let [first, second] = [(); 2].map(|()| fixture.pipeline(&case.checkpoint, dtype));
        let Request { inputs, params, .. } = fixture.request(case, &first);
        let encoded = |pipeline: &Pipeline| pipeline.encode_images(&params, &inputs).unwrap();
        let start = first.start(&params, case.seed, Some(&encoded(&first))).unwrap();
        let begun = start.steps_done();
        assert_eq!(begun, params.first_step() as usize);
        let (snapshots, whole) = rest(&first, &params, start);
        assert_eq!(begun + snapshots.len(), case.steps as usize);
        let images = encoded(&second);
        for (done, latents) in (begun + 1..case.steps as usize).zip(&snapshots) {
            let (step, images) = (done as u32, Some(&images));
            let generation = second.resume(&params, case.seed, step, latents, images).unwrap();
            assert_eq!(generation.steps_done(), done);
            let (after, image) = rest(&second, &params, generation);
            assert!(after == snapshots[done - begun..], "{name}, from step {done}");
            assert!(image == whole, "{name}, from step {done}");
        }
    }
}

#[test]
fn where_the_mask_is_black_the_latents_are_the_initial_images() {
    let fixture = Fixture::open();
    let case = fixture.manifest.cases.iter().find(|case| case.name == "mask-default").unwrap();
    let pipeline = fixture.pipeline(&case.checkpoint, DType::Float32);
    let Request { inputs, params, .. } = fixture.request(case, &pipeline);
    let last = |seed, inputs: &ImageInputs, prompt: &str| {
        let params = ResolvedParams { prompt: prompt.to_owned(), ..params.clone() };
        let conditioning = pipeline.encode(&params).unwrap();
        let images = pipeline.encode_images(&params, inputs).unwrap();
        let mut generation = pipeline.start(&params, seed, Some(&images)).unwrap();
        while !generation.is_done() {
            pipeline.step(&mut generation, &conditioning).unwrap();
        }
        generation.latents().copy()
    };
    let half = |latents: &Tensor, first| latents.narrow(3, first, 4);
    let [one, other] = ["a fox", "a ship at sea"].map(|prompt| last(1, &inputs, prompt));
    assert!(half(&one, 4) == half(&other, 4));
    assert!(half(&one, 0) != half(&other, 0));
    // Without a mask nothing is preserved.
    let plain = ImageInputs { mask: None, ..inputs.clone() };
    assert!(half(&last(1, &plain, "a fox"), 4) != half(&one, 4));
}

#[test]
fn what_does_not_fit_is_refused_in_a_sentence() {
    let fixture = Fixture::open();
    let case = fixture.manifest.cases.iter().find(|case| case.name == "mask-default").unwrap();
    let pipeline = fixture.pipeline(&case.checkpoint, DType::Float32);
    let Request { inputs, params, .. } = fixture.request(case, &pipeline);
    let refused = |inputs: &ImageInputs| match pipeline.encode_images(&params, inputs) {
        Err(error @ Error::Refused(_)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    };
    let short = ImageInputs { initial: Some(vec![0; 12287]), ..ImageInputs::default() };
    let said = "the initial image has 12287 bytes, expected 12288 for 64x64";
    assert_eq!(refused(&short), said);
    let long = ImageInputs { mask: Some(vec![0; 4097]), ..inputs.clone() };
    assert_eq!(refused(&long), "the mask has 4097 bytes, expected 4096 for 64x64");

    let images: EncodedImages = pipeline.encode_images(&params, &inputs).unwrap();
    let plain = pipeline.resolve(&Params::new("a fox")).unwrap();
    for (params, images) in [(&plain, Some(&images)), (&params, None)] {
        assert!(matches!(pipeline.start(params, 0, images), Err(Error::Internal(_))));
    }
    let late = ResolvedParams { strength: Some(0.25), ..params.clone() };
    let bytes = vec![0; pipeline.snapshot_bytes(&late)];
    let early = pipeline.resume(&late, 0, 2, &bytes, Some(&images)).unwrap_err();
    assert!(early.to_string().ends_with("step 2 is before the first, 3"), "{early}");
}
