//! Generates the cases of a JSON file and writes each one's final latents, for `contrib/lab/reference/gpu_parity.py`.
//!
//! usage: `latents CHECKPOINT CASES.json OUT DTYPE DEVICE [--eager]`, where DEVICE is `cpu` or `cuda:0`

use std::error::Error;
use std::path::Path;

use serde::Deserialize;
use tch::{Device, Tensor};
use zimage::{Checkpoint, Options, Params, Pipeline};

/// One call of the pipeline, as `contrib/lab/reference/cases.py` writes it.
#[derive(Deserialize)]
struct Case {
    name: String,
    prompt: String,
    negative: Option<String>,
    width: u32,
    height: u32,
    steps: u32,
    seed: u64,
    guidance: f32,
}

fn device(name: &str) -> Result<Device, Box<dyn Error>> {
    match name.strip_prefix("cuda:") {
        Some(ordinal) => {
            let ordinal = ordinal.parse()?;
            zimage_cuda::init(ordinal)?;
            Ok(Device::Cuda(ordinal))
        }
        None if name == "cpu" => Ok(Device::Cpu),
        None => Err(format!("the device must be cpu or cuda:N, not '{name}'").into()),
    }
}

/// The final latents of a case: `[1, 16, height / 8, width / 8]`, float32.
fn generate(case: Case, pipeline: &Pipeline) -> zimage::Result<Tensor> {
    let params = pipeline.resolve(&Params {
        prompt: case.prompt,
        negative: case.negative,
        width: Some(case.width),
        height: Some(case.height),
        steps: Some(case.steps),
        guidance: Some(case.guidance),
        ..Params::default()
    })?;
    let conditioning = pipeline.encode(&params)?;
    let mut generation = pipeline.start(&params, case.seed)?;
    while !generation.is_done() {
        pipeline.step(&mut generation, &conditioning)?;
    }
    Ok(generation.latents().f_to_device(Device::Cpu)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, cases, out, dtype, device_name, rest @ ..] = &args[..] else {
        return Err("usage: latents CHECKPOINT CASES.json OUT DTYPE DEVICE [--eager]".into());
    };
    let eager = rest == ["--eager"];
    let options = Options {
        device: device(device_name)?,
        dtype: dtype.parse()?,
        eager,
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    };
    let checkpoint = Checkpoint::open(Path::new(checkpoint))?;
    let pipeline = Pipeline::load(&checkpoint, &options, &mut |_| {})?;
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(cases)?)?;
    for case in cases {
        let file = Path::new(out).join(format!("{}.safetensors", case.name));
        let latents = generate(case, &pipeline)?;
        Tensor::write_safetensors(&[("latents", &latents)], file)?;
    }
    Ok(())
}
