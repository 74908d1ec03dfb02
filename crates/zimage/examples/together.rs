//! Times denoising steps of several images one by one and together, and of guidance with both predictions
//! apart and together, in turn.
//!
//! usage: `together CHECKPOINT DTYPE DEVICE SIZE [IMAGES]`: so many images [4] of SIZE² pixels, where DEVICE
//! is `cpu` or `cuda:0`. Prints a line of JSON each: milliseconds for one image's step (medians), the ratio
//! of together to apart, and how far the latents after all steps are apart (relative norms: the median, the
//! worst)

#![expect(clippy::print_stdout, reason = "a program for a terminal and for scripts")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::{Device, Tensor};
use zimage::{Checkpoint, Conditioning, Generation, Options, Params, Pipeline, Residency};

/// Series of each kind, in turns; the first two load kernels and capture graphs.
const ROUNDS: usize = 5;
const DISCARDED: usize = 2;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One way to do a step of all images.
type Step<'a> = &'a dyn Fn(&mut [Generation], &Conditioning) -> Result<(), Box<dyn Error>>;

/// The latents of all images, and the times of their steps.
fn draw(
    pipeline: &Pipeline,
    params: &Params,
    images: u64,
    step: Step<'_>,
) -> Result<(Vec<Tensor>, Vec<f64>), Box<dyn Error>> {
    let params = pipeline.resolve(params)?;
    let conditioning = pipeline.encode(&params)?;
    let mut all = Vec::new();
    for seed in 0..images {
        all.push(pipeline.start(&params, 42 + seed, None)?);
    }
    let mut times = Vec::new();
    for _ in 0..params.steps {
        let begun = Instant::now();
        step(&mut all, &conditioning)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3 / images as f64);
    }
    Ok((all.iter().map(|image| image.latents().copy()).collect(), times))
}

/// Both ways in turn, as a line of JSON.
fn compare(
    pipeline: &Pipeline,
    (what, params, images): (&str, &Params, u64),
    ways: [Step<'_>; 2],
) -> Result<(), Box<dyn Error>> {
    let mut times = [Vec::new(), Vec::new()];
    let mut distances = Vec::new();
    for round in 0..ROUNDS {
        let mut latents = Vec::new();
        for (way, times) in ways.into_iter().zip(&mut times) {
            let (found, took) = draw(pipeline, params, images, way)?;
            latents.push(found);
            if round >= DISCARDED {
                times.extend(took);
            }
        }
        let pairs = latents[0].iter().zip(&latents[1]);
        distances.extend(pairs.map(|(a, b)| ((a - b).norm() / a.norm()).double_value(&[])));
    }
    let [apart, together] = times.map(median);
    let worst = distances.iter().copied().fold(0.0, f64::max);
    println!(
        "{{\"what\":{what:?},\"images\":{images},\"apart_ms\":{apart:.3},\"together_ms\":{together:.3},\
         \"ratio\":{:.4},\"distance\":{:.2e},\"worst\":{worst:.2e}}}",
        together / apart,
        median(distances),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, dtype, device, size, rest @ ..] = &args[..] else {
        return Err("usage: together CHECKPOINT DTYPE DEVICE SIZE [IMAGES]".into());
    };
    let device = match device.strip_prefix("cuda:") {
        Some(ordinal) => {
            zimage_cuda::init(ordinal.parse()?)?;
            Device::Cuda(ordinal.parse()?)
        }
        None => Device::Cpu,
    };
    let options = Options {
        device,
        dtype: dtype.parse()?,
        eager: false,
        residency: Residency::All,
        packed: false,
        pinned: false,
    };
    let (size, images) = (size.parse()?, rest.first().map_or(Ok(4), |images| images.parse())?);
    let pipeline =
        Pipeline::load(&Checkpoint::open(Path::new(checkpoint))?, &options, &mut |_| {})?;
    let plain = Params {
        prompt: "a lighthouse at dusk, waves breaking on the rocks below it".to_owned(),
        width: Some(size),
        height: Some(size),
        steps: Some(8),
        guidance: Some(0.0),
        ..Params::default()
    };
    let each: Step<'_> = &|all, conditioning| {
        Ok(all.iter_mut().try_for_each(|image| pipeline.step(image, conditioning))?)
    };
    let all: Step<'_> = &|all, conditioning| Ok(pipeline.step_together(all, conditioning)?);
    compare(&pipeline, ("images", &plain, images), [each, all])?;
    // Again one image in a batch of one: what the other way to launch costs, without graphs.
    compare(&pipeline, ("one image", &plain, 1), [each, all])?;
    let guided = Params { guidance: Some(4.0), ..plain };
    let guide: Step<'_> = &|all, conditioning| {
        pipeline.guide_together(true);
        let done = all.iter_mut().try_for_each(|image| pipeline.step(image, conditioning));
        pipeline.guide_together(false);
        Ok(done?)
    };
    compare(&pipeline, ("guidance", &guided, 1), [each, guide])?;
    for remark in pipeline.remarks() {
        println!("{{\"remark\":{remark:?}}}");
    }
    Ok(())
}
