//! The library on one page: generates an image on the CPU and writes a PPM file.
//!
//! usage: `generate CHECKPOINT PROMPT OUT.ppm`

use std::error::Error;
use std::fs;

use zimage::{Checkpoint, DType, Options, Params, Pipeline};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, prompt, out] = &args[..] else {
        return Err("usage: generate CHECKPOINT PROMPT OUT.ppm".into());
    };
    let checkpoint = Checkpoint::open(checkpoint.as_ref())?;
    let options = Options {
        device: tch::Device::Cpu,
        dtype: DType::Float32,
        eager: false,
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    };
    let pipeline = Pipeline::load(&checkpoint, &options, &mut |_progress| {})?;

    let params = pipeline.resolve(&Params { prompt: prompt.clone(), ..Params::default() })?;
    let conditioning = pipeline.encode(&params)?;
    let mut generation = pipeline.start(&params, 42, None)?;
    while !generation.is_done() {
        // Here a caller may stop, show the image, or run something more urgent first.
        pipeline.step(&mut generation, &conditioning)?;
    }
    let image = pipeline.decode(&generation)?;

    let mut ppm = format!("P6\n{} {}\n255\n", image.width, image.height).into_bytes();
    ppm.extend_from_slice(&image.rgb);
    fs::write(out, ppm)?;
    Ok(())
}
