//! Times images with a part of the weights streamed, and says which bits came out.
//!
//! usage: `residency CHECKPOINT DTYPE DEVICE BLOCKS TEXT_BLOCKS SIZE [--packed] [--pinned] [--strips] [--snapshots] [--slots N]`: so many denoising
//! blocks stay on the device (`all` is no streaming), and so many of those for new prompts;
//! `--strips` decodes in strips, `--snapshots` copies the latents of each step to the host as the daemon does, `--slots` is the length of the ring [2]; prints
//! one line of JSON: seconds of an image with a prompt seen before and with a new one (medians of five), and
//! a digest of the latents

#![expect(clippy::print_stdout, reason = "a program for a terminal and for scripts")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::{Device, Kind};
use zimage::{Checkpoint, Options, Params, Pipeline, Residency};

const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, dtype, device, blocks, text_blocks, size, rest @ ..] = &args[..] else {
        return Err(
            "usage: residency CHECKPOINT DTYPE DEVICE BLOCKS TEXT_BLOCKS SIZE [--packed] [--pinned] [--strips] [--snapshots] [--slots N]"
                .into(),
        );
    };
    let slots = match rest.iter().position(|word| word == "--slots") {
        Some(at) => rest.get(at + 1).ok_or("--slots needs a number")?.parse()?,
        None => zimage::checkpoint::LEAST_SLOTS,
    };
    let device = match device.strip_prefix("cuda:") {
        Some(ordinal) => {
            zimage_cuda::init(ordinal.parse()?)?;
            Device::Cuda(ordinal.parse()?)
        }
        None => Device::Cpu,
    };
    let residency = match blocks.as_str() {
        "all" => Residency::All,
        blocks => Residency::Part {
            denoising_parts: 3 * blocks.parse::<u32>()?,
            text_parts: 3 * text_blocks.parse::<u32>()?,
            slots,
        },
    };
    let has = |flag: &str| rest.iter().any(|other| other == flag);
    let snapshots = has("--snapshots");
    let (packed, pinned, strips) = (has("--packed"), has("--pinned"), has("--strips"));
    let options =
        Options { device, dtype: dtype.parse()?, eager: false, residency, packed, pinned };
    let begun = Instant::now();
    let checkpoint = Checkpoint::open(Path::new(checkpoint))?;
    let pipeline = Pipeline::load(&checkpoint, &options, &mut |_| {})?;
    for remark in pipeline.remarks() {
        println!("{{\"remark\":{remark:?}}}");
    }
    let loaded = begun.elapsed().as_secs_f64();
    let size = size.parse()?;
    let generate = |prompt: String| -> Result<(f64, f64), Box<dyn Error>> {
        let begun = Instant::now();
        let params = Params { prompt, width: Some(size), height: Some(size), ..Params::default() };
        let params = pipeline.resolve(&params)?;
        let conditioning = pipeline.encode(&params)?;
        let mut generation = pipeline.start(&params, 42, None)?;
        while !generation.is_done() {
            if snapshots && generation.steps_done() < 7 {
                let snapshot =
                    pipeline.step_with_snapshot(&mut generation, &conditioning, false)?;
                drop(snapshot.to_bytes()?);
            } else {
                pipeline.step(&mut generation, &conditioning)?;
            }
        }
        let image = if strips {
            pipeline.decode_in_strips(&generation)?
        } else {
            pipeline.decode(&generation)?
        };
        let took = begun.elapsed().as_secs_f64();
        let latents = generation.latents().to_device(Device::Cpu).to_kind(Kind::Double);
        let weights = tch::Tensor::arange(latents.numel() as i64, (Kind::Double, Device::Cpu));
        let digest = (latents.flatten(0, -1) * (weights + 1.0)).sum(Kind::Double);
        let pixels: u64 = image.rgb.iter().zip(1..).map(|(&byte, at)| u64::from(byte) * at).sum();
        Ok((took, digest.double_value(&[]) + pixels as f64))
    };
    let median = |prompt: &dyn Fn(usize) -> String| -> Result<(f64, f64), Box<dyn Error>> {
        let mut times = Vec::new();
        let mut digest = 0.0;
        for round in 0..ROUNDS + 2 {
            let (took, found) = generate(prompt(round))?;
            digest = found;
            if round >= 2 {
                times.push(took);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok((times[times.len() / 2], digest))
    };
    let (new, _) = median(&|round| format!("a lighthouse at dusk, number {round}"))?;
    let (seen, digest) = median(&|_| "a lighthouse at dusk".to_owned())?;
    println!(
        "{{\"dtype\":{dtype:?},\"packed\":{packed},\"pinned\":{pinned},\"strips\":{strips},\
         \"slots\":{slots},\"blocks\":{blocks:?},\
         \"text_blocks\":{text_blocks:?},\"size\":{size},\
         \"loaded\":{loaded:.2},\"seen\":{seen:.4},\"new\":{new:.4},\"digest\":{digest:?}}}"
    );
    Ok(())
}
