//! The same numbers as diffusers' `ZImagePipeline`, in float32 on the CPU.
//!
//! The reference values are a fixture that `contrib/lab/reference/make_fixture.py` made; the folder
//! may be another one (`ZIMG_FIXTURE`), and the table of the comparison is written to
//! `ZIMG_PARITY_TABLE` when that is set. `make parity` does both.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use zimage::{Checkpoint, DType, Options, Params, Pipeline};

/// Of the final latents: the most that the norm of the difference may be, and the largest
/// difference, each relative to the same of the reference.
const LATENTS: f64 = 1e-4;
/// The share of colour values that may differ, by 1 of 255 at most.
const VALUES: f64 = 1e-4;

#[derive(Deserialize)]
struct Manifest {
    checkpoints: Vec<String>,
    encode: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    checkpoint: String,
    prompt: String,
    negative: Option<String>,
    width: u32,
    height: u32,
    steps: u32,
    seed: u64,
    count: u32,
    guidance: f32,
    normalization: f32,
    truncation: f32,
    shift: f64,
    caption_tokens: usize,
    image_tokens: usize,
    expected: String,
}

struct Fixture {
    folder: PathBuf,
    manifest: Manifest,
}

impl Fixture {
    fn open() -> Self {
        let folder = std::env::var_os("ZIMG_FIXTURE").map_or_else(
            || concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference").into(),
            PathBuf::from,
        );
        let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
        Self { manifest: serde_json::from_slice(&manifest).unwrap(), folder }
    }

    fn pipeline(&self, checkpoint: &str) -> Pipeline {
        let checkpoint = Checkpoint::open(&self.folder.join(checkpoint)).unwrap();
        let options = Options {
            device: Device::Cpu,
            dtype: DType::Float32,
            eager: false,
            residency: zimage::Residency::All,
            packed: false,
            pinned: false,
        };
        Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap()
    }

    fn pipelines(&self) -> HashMap<&str, Pipeline> {
        self.manifest.checkpoints.iter().map(|name| (&**name, self.pipeline(name))).collect()
    }

    fn tensors(&self, file: &str) -> HashMap<String, Tensor> {
        Tensor::read_safetensors(self.folder.join(file)).unwrap().into_iter().collect()
    }
}

impl Case {
    fn params(&self) -> Params {
        Params {
            prompt: self.prompt.clone(),
            negative: self.negative.clone(),
            width: Some(self.width),
            height: Some(self.height),
            steps: Some(self.steps),
            guidance: Some(self.guidance),
            guidance_normalization: Some(self.normalization),
            guidance_truncation: Some(self.truncation),
            ..Params::default()
        }
    }

    /// The prompts, and what the reference's values of each are called.
    fn prompts(&self) -> Vec<(&str, &'static str)> {
        let mut prompts = vec![(&*self.prompt, "")];
        if self.guidance > 0.0 {
            prompts.push((self.negative.as_deref().unwrap_or(""), "negative_"));
        }
        prompts
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

fn assert_close(ours: &Tensor, theirs: &Tensor, limit: f64, what: &str) {
    let (norm, largest) = distance(ours, theirs);
    // Written so that NaN fails.
    assert!(norm <= limit && largest <= limit, "{what}: {norm:.2e} by norm, {largest:.2e} at most");
}

#[test]
fn tokens() {
    let fixture = Fixture::open();
    let pipelines = fixture.pipelines();
    for case in &fixture.manifest.cases {
        let expected = fixture.tensors(&case.expected);
        for (prompt, prefix) in case.prompts() {
            let theirs = Vec::<i64>::try_from(&expected[&format!("{prefix}ids")]).unwrap();
            let ours = pipelines[&*case.checkpoint].tokens(prompt).unwrap();
            assert_eq!(ours, theirs, "{}: {prefix}ids", case.name);
        }
    }
}

#[test]
fn text_features() {
    let fixture = Fixture::open();
    let pipelines = fixture.pipelines();
    for case in &fixture.manifest.cases {
        let expected = fixture.tensors(&case.expected);
        for (prompt, prefix) in case.prompts() {
            let ours = pipelines[&*case.checkpoint].features(prompt).unwrap();
            let name = format!("{prefix}features");
            assert_close(&ours, &expected[&name], 2e-5, &format!("{}: {name}", case.name));
        }
    }
}

#[test]
fn sigmas() {
    let fixture = Fixture::open();
    for case in &fixture.manifest.cases {
        let theirs = Vec::<f32>::try_from(&fixture.tensors(&case.expected)["sigmas"]).unwrap();
        assert_eq!(zimage::schedule::sigmas(case.steps, case.shift), theirs, "{}", case.name);
    }
}

#[test]
fn autoencoder_encodes() {
    let fixture = Fixture::open();
    let expected = fixture.tensors(&fixture.manifest.encode);
    let image = expected["picture"].to_kind(Kind::Float) / 127.5 - 1.0;
    let pixels = image.permute([2, 0, 1]).unsqueeze(0);
    for (name, pipeline) in fixture.pipelines() {
        let latents = pipeline.latents_of(&pixels).unwrap();
        assert_close(&latents, &expected[&format!("latents.{name}")], 2e-5, name);
    }
}

/// What was generated for a case, and how far it is from the reference.
struct Row<'a> {
    case: &'a Case,
    latents: (f64, f64),
    values: usize,
    differing: usize,
    largest: u8,
}

/// Draws a case; its noise and its first step are judged on the way, so that a failure says where.
fn generate<'a>(
    case: &'a Case,
    pipeline: &Pipeline,
    expected: &HashMap<String, Tensor>,
) -> Row<'a> {
    let plan = pipeline.resolve(&case.params()).unwrap();
    let conditioning = pipeline.encode(&plan).unwrap();
    let mut latents = Vec::new();
    let mut rgb = Vec::new();
    for i in 0..case.count {
        let mut generation = pipeline.start(&plan, case.seed + u64::from(i), None).unwrap();
        let noise = generation.latents().copy();
        let theirs = expected["noise"].get(i64::from(i)).unsqueeze(0);
        // To the last bits only: libtorch has several ways to the same normal numbers, and takes
        // the one that suits the processor.
        assert_close(&noise, &theirs, 1e-6, &format!("{}: the noise of image {i}", case.name));
        while !generation.is_done() {
            pipeline.step(&mut generation, &conditioning).unwrap();
            if generation.steps_done() == 1 && case.guidance == 0.0 {
                let sigmas = Vec::<f32>::try_from(&expected["sigmas"]).unwrap();
                let output = (&noise - generation.latents()) / f64::from(sigmas[1] - sigmas[0]);
                let theirs = expected["output0"].get(i64::from(i)).unsqueeze(0);
                assert_close(&output, &theirs, 1e-4, &format!("{}: the first step", case.name));
            }
        }
        latents.push(generation.latents().copy());
        let image = pipeline.decode(&generation).unwrap();
        assert_eq!((image.width, image.height), (case.width, case.height));
        rgb.extend(image.rgb);
    }
    let theirs = Vec::<u8>::try_from(expected["picture"].flatten(0, -1)).unwrap();
    assert_eq!(rgb.len(), theirs.len(), "{}", case.name);
    let differences = || rgb.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b));
    Row {
        case,
        latents: distance(&Tensor::cat(&latents, 0), &expected["latents"]),
        values: rgb.len(),
        differing: differences().filter(|&d| d > 0).count(),
        largest: differences().max().unwrap_or(0),
    }
}

fn table(rows: &[Row<'_>]) -> String {
    let mut out = String::from(
        "| case | size | steps | caption | image tokens | shift | guidance | images \
         | latents, norm | latents, largest | values that differ | by at most |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Case { name, width, height, steps, caption_tokens, image_tokens, .. } = row.case;
        let Case { shift, guidance, count, .. } = row.case;
        let (norm, largest) = row.latents;
        let (differing, values) = (row.differing, row.values);
        writeln!(
            out,
            "| {name} | {width}×{height} | {steps} | {caption_tokens} | {image_tokens} | {shift} | {guidance} \
             | {count} | {norm:.1e} | {largest:.1e} | {differing} of {values} | {} |",
            row.largest
        )
        .unwrap();
    }
    out
}

#[test]
fn latents_and_images() {
    let fixture = Fixture::open();
    let pipelines = fixture.pipelines();
    let rows: Vec<_> = fixture
        .manifest
        .cases
        .iter()
        .map(|case| generate(case, &pipelines[&*case.checkpoint], &fixture.tensors(&case.expected)))
        .collect();
    let table = table(&rows);
    println!("{table}");
    if let Some(file) = std::env::var_os("ZIMG_PARITY_TABLE") {
        std::fs::write(file, &table).unwrap();
    }
    let failed = |row: &&Row<'_>| {
        let (norm, largest) = row.latents;
        // A small image may have one value more than the share comes to.
        let values = (VALUES * row.values as f64).ceil();
        !(norm <= LATENTS && largest <= LATENTS) || row.largest > 1 || row.differing as f64 > values
    };
    let failed: Vec<_> = rows.iter().filter(failed).map(|row| &*row.case.name).collect();
    assert!(failed.is_empty(), "not equal to the reference: {}\n{table}", failed.join(", "));
    let (differing, values) =
        rows.iter().fold((0, 0), |sum, row| (sum.0 + row.differing, sum.1 + row.values));
    assert!(differing as f64 <= VALUES * values as f64, "{differing} of {values} values differ");
}

/// The comparison itself can fail.
#[test]
fn distance_sees_a_difference() {
    let x = Tensor::from_slice(&[1f32, 2.0, -4.0]);
    let y = Tensor::from_slice(&[1f32, 2.0, -4.001]);
    let (norm, largest) = distance(&y, &x);
    assert!(norm > LATENTS && largest > LATENTS);
    assert_eq!(distance(&x, &x), (0.0, 0.0));
    assert!(distance(&(&x * f64::NAN), &x).0.is_nan());
}
