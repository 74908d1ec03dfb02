//! CUDA graph check: compares what is launched kernel by kernel with what is replayed, to the bit.
//!
//! usage: `replay CHECKPOINT DTYPE DEVICE`, for a checkpoint with the model's real widths and a GPU;
//! prints a line per check, and fails if one does

#![expect(clippy::print_stdout, reason = "a program for a terminal and for scripts")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::{Device, Tensor};
use zimage::{Checkpoint, Options, Params, Pipeline};

const STEPS: u32 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, dtype, device] = &args[..] else {
        return Err("usage: replay CHECKPOINT DTYPE DEVICE".into());
    };
    let ordinal = device.strip_prefix("cuda:").ok_or("only a GPU replays")?.parse()?;
    zimage_cuda::init(ordinal)?;
    let options = Options {
        device: Device::Cuda(ordinal),
        dtype: dtype.parse()?,
        eager: false,
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    };
    let checkpoint = Checkpoint::open(Path::new(checkpoint))?;
    let pipeline = Pipeline::load(&checkpoint, &options, &mut |_| {})?;
    let mut wrong = 0;
    for (size, guidance) in [(512, 0.0), (256, 0.0), (512, 3.0)] {
        let generate = |prompt: &str| -> Result<(Tensor, f64), Box<dyn Error>> {
            // So that the prompt is encoded again.
            pipeline.drop_results();
            let begun = Instant::now();
            let params = pipeline.resolve(&Params {
                prompt: prompt.to_owned(),
                negative: Some("blurred".to_owned()),
                width: Some(size),
                height: Some(size),
                steps: Some(STEPS),
                guidance: Some(guidance),
                ..Params::default()
            })?;
            let conditioning = pipeline.encode(&params)?;
            let mut generation = pipeline.start(&params, 42, None)?;
            while !generation.is_done() {
                pipeline.step(&mut generation, &conditioning)?;
            }
            Ok((generation.latents().shallow_clone(), begun.elapsed().as_secs_f64() * 1e3))
        };
        let prompts = ["a red fox in the snow", "a lighthouse on a cliff at night"];
        let first = [generate(prompts[0])?, generate(prompts[1])?];
        for round in 1..4 {
            for (prompt, (latents, before)) in prompts.iter().zip(&first) {
                let (again, ms) = generate(prompt)?;
                let same = again == *latents;
                wrong += u32::from(!same);
                let word = if same { "the same" } else { "NOT THE SAME" };
                println!(
                    "{size}², guidance {guidance}, round {round}: {word}, {ms:.1} ms after {before:.1}"
                );
            }
        }
    }
    let remarks = pipeline.remarks();
    for remark in &remarks {
        println!("{remark}");
    }
    if wrong > 0 || !remarks.is_empty() {
        return Err(format!("{wrong} images differ, {} remarks", remarks.len()).into());
    }
    Ok(())
}
