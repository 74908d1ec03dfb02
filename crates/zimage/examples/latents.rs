//! Generates the cases of a JSON file and writes each one's final latents, for `contrib/lab/reference/gpu_parity.py`.
//!
//! usage: `latents CHECKPOINT CASES.json OUT DTYPE DEVICE [--eager] [--images]`, where DEVICE is `cpu` or `cuda:0`;
//! with `--images` the decoded images, too, as PPM files

use std::error::Error;
use std::path::Path;

use serde::Deserialize;
use tch::{Device, Tensor};
use zimage::{Checkpoint, Image, Options, Params, Pipeline};

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

/// The final latents of a case: `[1, 16, height / 8, width / 8]`, float32; and the image if it is asked for.
fn generate(
    case: Case,
    pipeline: &Pipeline,
    images: bool,
) -> zimage::Result<(Tensor, Option<Image>)> {
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
    let mut generation = pipeline.start(&params, case.seed, None)?;
    while !generation.is_done() {
        pipeline.step(&mut generation, &conditioning)?;
    }
    let image = images.then(|| pipeline.decode(&generation)).transpose()?;
    Ok((generation.latents().f_to_device(Device::Cpu)?, image))
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, cases, out, dtype, device_name, rest @ ..] = &args[..] else {
        let usage = "usage: latents CHECKPOINT CASES.json OUT DTYPE DEVICE [--eager] [--images]";
        return Err(usage.into());
    };
    let has = |flag: &str| rest.iter().any(|other| other == flag);
    let eager = has("--eager");
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
        let file = |ending: &str| Path::new(out).join(format!("{}.{ending}", case.name));
        let (latents_file, image_file) = (file("safetensors"), file("ppm"));
        let (latents, image) = generate(case, &pipeline, has("--images"))?;
        Tensor::write_safetensors(&[("latents", &latents)], latents_file)?;
        if let Some(Image { width, height, rgb }) = image {
            let head = format!("P6\n{width} {height}\n255\n").into_bytes();
            std::fs::write(image_file, [head, rgb].concat())?;
        }
    }
    Ok(())
}
