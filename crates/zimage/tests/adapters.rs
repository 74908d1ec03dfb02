//! Adapters of other programs: the latents are those that diffusers, peft and LyCORIS give with them.
//!
//! `contrib/lab/adapters/make_adapters.py` made the files and the latents.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use zimage::checkpoint::adapter::AdapterDirectories;
use zimage::{AdapterChoice, Checkpoint, DType, Options, Params, Pipeline, Residency};

/// The limit of `docs/parity.md` for final latents, by norm and by largest value.
const LIMIT: f64 = 1e-4;
/// An adapter moves the latents by more than this.
const MOVES: f64 = 4e-3;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// `NAME:WEIGHT`, separated by commas.
    lora: String,
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path)
}

fn pipeline(dtype: DType, residency: Residency) -> Pipeline {
    let checkpoint = Checkpoint::open(&fixture("reference/plain")).unwrap();
    let device = Device::Cpu;
    let options = Options { device, dtype, eager: false, residency, packed: false, pinned: false };
    Pipeline::load(&checkpoint, &options, &mut |_| {}).unwrap()
}

fn choices(lora: &str) -> Vec<AdapterChoice> {
    let directories = AdapterDirectories::new(vec![fixture("adapters")]);
    let choice = |text: &str| {
        let (name, weight) = text.rsplit_once(':').unwrap();
        let file = directories.find(name).unwrap();
        AdapterChoice { name: file.name, path: file.path, weight: weight.parse().unwrap() }
    };
    lora.split(',').filter(|text| !text.is_empty()).map(choice).collect()
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(fixture("adapters/cases.json")).unwrap()).unwrap()
}

fn latents(pipeline: &Pipeline, lora: &str) -> Tensor {
    pipeline.adapt(&choices(lora)).unwrap();
    let params = Params {
        prompt: "a red fox in the snow".into(),
        width: Some(96),
        height: Some(64),
        steps: Some(4),
        ..Params::default()
    };
    let plan = pipeline.resolve(&params).unwrap();
    let conditioning = pipeline.encode(&plan).unwrap();
    let mut generation = pipeline.start(&plan, 7, None).unwrap();
    while !generation.is_done() {
        pipeline.step(&mut generation, &conditioning).unwrap();
    }
    generation.latents().to_kind(Kind::Double)
}

/// How far two latents are from each other: the larger of the norm's and the largest value's part.
fn distance(ours: &Tensor, theirs: &Tensor) -> f64 {
    let difference = ours - theirs;
    let norm = (difference.norm() / theirs.norm()).double_value(&[]);
    let largest = (difference.abs().max() / theirs.abs().max()).double_value(&[]);
    if norm.is_nan() { norm } else { norm.max(largest) }
}

#[test]
fn adapters_give_the_latents_of_the_reference() {
    let expected: HashMap<String, Tensor> =
        Tensor::read_safetensors(fixture("adapters/latents.safetensors"))
            .unwrap()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_kind(Kind::Double)))
            .collect();
    let cases = cases();
    let pipeline = pipeline(DType::Float32, Residency::All);
    let plain = latents(&pipeline, "");
    let mut failed = Vec::new();
    // Backwards as well: what was applied before must leave nothing behind.
    for case in cases.iter().chain(cases.iter().rev()) {
        let ours = latents(&pipeline, &case.lora);
        let off = distance(&ours, &expected[&case.name]);
        println!("{}: {off:.1e}", case.name);
        if off.is_nan() || off > LIMIT {
            failed.push(format!("{} is {off:.1e} from the reference", case.name));
        }
        if !case.lora.is_empty() && distance(&ours, &plain) < MOVES {
            failed.push(format!("{} changes nothing", case.name));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(latents(&pipeline, ""), plain, "without adapters all is as before, to the bit");
}

/// Other forms of the weights take the same side products.
#[test]
fn adapters_work_with_streamed_and_float8_weights() {
    for (name, lora) in
        [("diffusers", "diffusers:1"), ("all", "diffusers:0.5,kohya:0.5,modulation:1")]
    {
        let whole = pipeline(DType::Float32, Residency::All);
        let wanted = latents(&whole, lora);
        let streamed = pipeline(DType::Float32, Residency::part(1, false));
        assert_eq!(latents(&streamed, ""), latents(&whole, ""), "{name}");
        assert_eq!(latents(&streamed, lora), wanted, "{name} streamed");
        // A DoRA needs norms of weights that are not there, and says so.
        let dora = streamed.adapt(&choices("peft-dora:1")).unwrap_err();
        assert!(dora.to_string().contains("DoRA"), "{dora}");
        let float8 = pipeline(DType::Float8, Residency::All);
        let (plain, adapted) = (latents(&float8, ""), latents(&float8, lora));
        let off = distance(&adapted, &wanted);
        println!("{name} with float8: {off:.2}");
        assert!(off < 0.25 && off < distance(&plain, &wanted) / 2.0, "{name}: {off:.2}");
    }
}

/// The changes of the weights themselves, where an image would hide small errors.
#[test]
fn a_weight_of_zero_is_no_adapter_and_weights_add_up() {
    let pipeline = pipeline(DType::Float32, Residency::All);
    let plain = latents(&pipeline, "");
    assert_eq!(latents(&pipeline, "kohya:0"), plain);
    let whole = latents(&pipeline, "kohya:1");
    let halves = latents(&pipeline, "kohya:0.5,kohya:0.5");
    assert!(distance(&halves, &whole) < 1e-5);
}
