//! ControlNets: the same numbers as diffusers' `ZImageControlNetPipeline` and
//! `ZImageControlNetInpaintPipeline`, in float32 on the CPU; resumed, streamed and after another ControlNet
//! the same image to the bit.
//!
//! The reference values are made by `contrib/lab/reference/control_cases.py`. `ZIMG_FIXTURE` names another
//! folder of them, and `ZIMG_CONTROL_PARITY_TABLE` a file for the table. `make parity` does both.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use zimage::{
    Checkpoint, ControlChoice, ControlImage, DType, Error, Generation, ImageInputs, Options,
    Params, Pipeline, Residency, ResolvedParams,
};

/// As `parity.rs`: of latents, relative to the reference's by norm and by the largest value; the share of
/// colour values that may differ, by 1 of 255.
const LATENTS: f64 = 1e-4;
const VALUES: f64 = 1e-4;
/// Of what a ControlNet is given, and of the latents after the first step.
const STAGES: f64 = 1e-5;

#[derive(Deserialize)]
struct Manifest {
    nets: Vec<Net>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Net {
    name: String,
    checkpoint: String,
    folder: bool,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    net: String,
    width: u32,
    height: u32,
    scale: f32,
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
        let manifest = std::fs::read(folder.join("controls.json")).unwrap();
        Self { manifest: serde_json::from_slice(&manifest).unwrap(), folder }
    }

    fn pipeline(&self, checkpoint: &str, dtype: DType, residency: Residency) -> Pipeline {
        let checkpoint = Checkpoint::open(&self.folder.join(checkpoint)).unwrap();
        let options = Options {
            device: Device::Cpu,
            dtype,
            eager: false,
            residency,
            packed: false,
            pinned: false,
        };
        Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap()
    }

    fn net(&self, name: &str) -> &Net {
        self.manifest.nets.iter().find(|net| net.name == name).unwrap()
    }

    fn case(&self, name: &str) -> &Case {
        self.manifest.cases.iter().find(|case| case.name == name).unwrap()
    }

    fn choice(&self, net: &str, scale: f32) -> ControlChoice {
        let file = match self.net(net).folder {
            true => format!("{net}/diffusion_pytorch_model.safetensors"),
            false => format!("{net}.safetensors"),
        };
        ControlChoice { name: net.to_owned(), path: self.folder.join("nets").join(file), scale }
    }

    fn request(&self, case: &Case, pipeline: &Pipeline) -> Request {
        let file = self.folder.join("controls").join(format!("{}.safetensors", case.name));
        let expected: HashMap<_, _> = Tensor::read_safetensors(file).unwrap().into_iter().collect();
        let bytes = |name: &str| Vec::<u8>::try_from(expected[name].flatten(0, -1)).unwrap();
        let of_mask = |name: &str| case.mask.as_ref().map(|_| bytes(name));
        let inputs = ImageInputs {
            initial: of_mask("initial"),
            mask: of_mask("mask"),
            control: Some(ControlImage {
                rgb: bytes("control"),
                choice: self.choice(&case.net, case.scale),
            }),
        };
        let params = Params {
            negative: case.negative.clone(),
            width: Some(case.width),
            height: Some(case.height),
            steps: Some(case.steps),
            guidance: Some(case.guidance),
            guidance_normalization: Some(case.normalization),
            guidance_truncation: Some(case.truncation),
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
    let far = distance(images.control_latents().unwrap(), &expected["context"]);
    assert!(is_close(far, STAGES), "{}: the control latents are {far:?} off", case.name);
    let (mut latents, mut rgb) = (Vec::new(), Vec::new());
    for i in 0..case.count {
        let seed = case.seed + u64::from(i);
        let mut generation = pipeline.start(params, seed, Some(&images)).unwrap();
        assert_eq!(generation.steps_done(), 0);
        while !generation.is_done() {
            pipeline.step(&mut generation, &conditioning).unwrap();
            if generation.steps_done() == 1 {
                let theirs = expected["after"].get(i64::from(i)).unsqueeze(0);
                let far = distance(generation.latents(), &theirs);
                assert!(is_close(far, STAGES), "{}: image {i} is {far:?} off", case.name);
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
    let Case { name, net, width, height, scale, steps, guidance, count, .. } = case;
    let mask = case.mask.as_deref().unwrap_or("none");
    let row = format!(
        "| {name} | {net} | {width}×{height} | {scale} | {steps} | {mask} | {guidance} | {count} \
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
    let mut pipelines = HashMap::new();
    for net in &fixture.manifest.nets {
        pipelines
            .entry(&*net.checkpoint)
            .or_insert_with(|| fixture.pipeline(&net.checkpoint, DType::Float32, Residency::All));
    }
    let mut table = String::from(
        "| case | ControlNet | size | scale | steps | mask | guidance | images | latents, norm \
         | latents, largest | values that differ | by at most |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut failed = Vec::new();
    for case in &fixture.manifest.cases {
        let pipeline = &pipelines[&*fixture.net(&case.net).checkpoint];
        let (row, is_equal) = compare(case, pipeline, &fixture.request(case, pipeline));
        writeln!(table, "{row}").unwrap();
        if !is_equal {
            failed.push(&*case.name);
        }
    }
    println!("{table}");
    if let Some(file) = std::env::var_os("ZIMG_CONTROL_PARITY_TABLE") {
        std::fs::write(file, &table).unwrap();
    }
    assert!(failed.is_empty(), "not equal to the reference: {}\n{table}", failed.join(", "));
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

/// The latents after each step of a case, and its first image.
fn generated(fixture: &Fixture, pipeline: &Pipeline, case: &Case) -> (Vec<Vec<u8>>, Vec<u8>) {
    let Request { inputs, params, .. } = fixture.request(case, pipeline);
    let images = pipeline.encode_images(&params, &inputs).unwrap();
    let start = pipeline.start(&params, case.seed, Some(&images)).unwrap();
    rest(pipeline, &params, start)
}

#[test]
fn an_image_that_another_pipeline_resumes_at_any_step_is_the_same_to_the_bit() {
    let fixture = Fixture::open();
    for (name, dtype) in [
        ("first-guided", DType::Float32),
        ("twice-mask", DType::BFloat16),
        ("own-mask", DType::Float16),
        ("folder-mask", DType::Int8),
    ] {
        let case = fixture.case(name);
        let checkpoint = &fixture.net(&case.net).checkpoint;
        let [first, second] = [(); 2].map(|()| fixture.pipeline(checkpoint, dtype, Residency::All));
        let (snapshots, whole) = generated(&fixture, &first, case);
        let Request { inputs, params, .. } = fixture.request(case, &second);
        let images = second.encode_images(&params, &inputs).unwrap();
        for (done, latents) in (1..case.steps as usize).zip(&snapshots) {
            let (step, images) = (done as u32, Some(&images));
            let generation = second.resume(&params, case.seed, step, latents, images).unwrap();
            let (after, image) = rest(&second, &params, generation);
            assert!(after == snapshots[done..], "{name}, from step {done}");
            assert!(image == whole, "{name}, from step {done}");
        }
    }
}

/// A net's blocks are streamed where the model's are, and another net takes the first one's place.
#[test]
fn streamed_blocks_and_other_nets_before_it_change_nothing() {
    let fixture = Fixture::open();
    for (names, dtype) in [
        (["own", "few", "first-wide"], DType::Float32),
        (["own-mask", "few", "first-wide"], DType::BFloat16),
        (["twice", "folder", "first"], DType::Float16),
        (["twice-mask", "folder-mask", "first"], DType::Int8),
    ] {
        let checkpoint = &fixture.net(&fixture.case(names[0]).net).checkpoint;
        let resident = fixture.pipeline(checkpoint, dtype, Residency::All);
        let alone: Vec<_> =
            names.iter().map(|name| generated(&fixture, &resident, fixture.case(name))).collect();
        for residency in [Residency::part(1, true), Residency::part(0, false)] {
            let streamed = fixture.pipeline(checkpoint, dtype, residency);
            for (name, alone) in names.iter().zip(&alone).chain(names.iter().zip(&alone)) {
                let found = generated(&fixture, &streamed, fixture.case(name));
                assert!(found == *alone, "{name}, {dtype:?}, {residency:?}");
            }
        }
        resident.free_caches();
        assert!(generated(&fixture, &resident, fixture.case(names[0])) == alone[0]);
    }
}

/// The strength of an initial image, and of hints, beside what the reference has: nothing is blended, and
/// the steps before the first are left out.
#[test]
fn an_initial_image_goes_with_a_control_image() {
    let fixture = Fixture::open();
    let last = |case: &Case, pipeline: &Pipeline, change: &dyn Fn(&mut Request)| {
        let mut request = fixture.request(case, pipeline);
        change(&mut request);
        let Request { inputs, params, .. } = request;
        let images = pipeline.encode_images(&params, &inputs).unwrap();
        let start = pipeline.start(&params, case.seed, Some(&images)).unwrap();
        (start.steps_done(), rest(pipeline, &params, start).1)
    };
    for name in ["own-mask", "twice-mask"] {
        let case = fixture.case(name);
        let checkpoint = &fixture.net(&case.net).checkpoint;
        let pipeline = fixture.pipeline(checkpoint, DType::Float32, Residency::All);
        let whole = last(case, &pipeline, &|_| {});
        assert_eq!(whole.0, 0);
        let half = last(case, &pipeline, &|request| request.params.strength = Some(0.5));
        assert_eq!(half.0, 2);
        assert!(half.1 != whole.1);
        // Without a mask it is image to image, with the hints.
        let plain = last(case, &pipeline, &|request| {
            request.inputs.mask = None;
            request.params.strength = Some(0.5);
        });
        assert!(plain.1 != half.1);
        let faint = last(case, &pipeline, &|request| {
            request.inputs.mask = None;
            request.params.strength = Some(0.5);
            request.inputs.control.as_mut().unwrap().choice.scale = 0.0;
        });
        assert!(faint.1 != plain.1);
    }
}

/// A net of 16 channels is told nothing of a mask: what may not change is blended, as without a net.
#[test]
fn a_net_that_fills_no_mask_leaves_blending_as_it_is() {
    let fixture = Fixture::open();
    let case = fixture.case("own-mask");
    let pipeline = fixture.pipeline("plain", DType::Float32, Residency::All);
    let Request { mut inputs, params, .. } = fixture.request(case, &pipeline);
    inputs.control.as_mut().unwrap().choice = fixture.choice("union-1-all", 0.7);
    let latents = |prompt: &str| {
        let params = ResolvedParams { prompt: prompt.to_owned(), ..params.clone() };
        let images = pipeline.encode_images(&params, &inputs).unwrap();
        let conditioning = pipeline.encode(&params).unwrap();
        let mut generation = pipeline.start(&params, 3, Some(&images)).unwrap();
        while !generation.is_done() {
            pipeline.step(&mut generation, &conditioning).unwrap();
        }
        generation.latents().copy()
    };
    let [one, other] = ["a fox", "a ship at sea"].map(latents);
    let half = |latents: &Tensor, first| latents.narrow(3, first, 6);
    assert!(half(&one, 6) == half(&other, 6) && half(&one, 0) != half(&other, 0));
}

#[test]
fn what_is_no_control_net_of_this_model_is_refused_in_a_sentence() {
    let fixture = Fixture::open();
    let pipeline = fixture.pipeline("plain", DType::Float32, Residency::All);
    let case = fixture.case("own");
    let Request { inputs, params, .. } = fixture.request(case, &pipeline);
    let refused = |path: PathBuf, rgb: Option<Vec<u8>>| {
        let mut inputs = inputs.clone();
        let control = inputs.control.as_mut().unwrap();
        control.choice.path = path;
        control.rgb = rgb.unwrap_or_else(|| control.rgb.clone());
        match pipeline.encode_images(&params, &inputs) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("not refused"),
        }
    };
    let nets = fixture.folder.join("nets");
    for (file, said) in [
        (
            "nets/union-1.safetensors",
            "is a ControlNet for tokens of width 48, and this model's have 64",
        ),
        (
            "cases/square.safetensors",
            "is a file without any part of one, expected a ControlNet of Z-Image",
        ),
        (
            "odd/vae/diffusion_pytorch_model.safetensors",
            "a model or a part of one, expected a ControlNet",
        ),
        ("nets/none.safetensors", "none.safetensors cannot be read: No such file"),
    ] {
        let found = refused(fixture.folder.join(file), None);
        assert!(found.contains(said), "{file}: {found}");
    }
    let short = refused(nets.join("union-2.1.safetensors"), Some(vec![0; 5]));
    assert_eq!(short, "the control image has 5 bytes, expected 12288 for 64x64");
    // The one before is still there, and works.
    let images = pipeline.encode_images(&params, &inputs).unwrap();
    let plain = ResolvedParams { is_controlled: false, ..params.clone() };
    for (params, images) in [(&plain, Some(&images)), (&params, None)] {
        assert!(matches!(pipeline.start(params, 0, images), Err(Error::Internal(_))));
    }
}
