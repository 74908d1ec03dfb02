//! Stage timings: prompt, step, step with a snapshot (and a preview), decoding, at several sizes.
//!
//! usage: `stages CHECKPOINT DTYPE DEVICE [--eager]`, where DEVICE is `cpu` or `cuda:0`; prints one
//! line of JSON per stage, in milliseconds: the median and the least of ten

#![expect(clippy::print_stdout, reason = "a program for a terminal and for scripts")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::Device;
use zimage::{Checkpoint, Options, Params, Pipeline};

/// 43 tokens with the chat template, as in the figures of others.
const PROMPT: &str = "A young Chinese woman in red Hanfu, intricate embroidery, impeccable makeup, red floral \
                      forehead pattern, elaborate high bun, golden phoenix headdress";
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, dtype, device_name, rest @ ..] = &args[..] else {
        return Err("usage: stages CHECKPOINT DTYPE DEVICE [--eager]".into());
    };
    let device = match device_name.strip_prefix("cuda:") {
        Some(ordinal) => {
            zimage_cuda::init(ordinal.parse()?)?;
            Device::Cuda(ordinal.parse()?)
        }
        None => Device::Cpu,
    };
    let options = Options {
        device,
        dtype: dtype.parse()?,
        eager: rest == ["--eager"],
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    };
    let begun = Instant::now();
    let checkpoint = Checkpoint::open(Path::new(checkpoint))?;
    let pipeline = Pipeline::load(&checkpoint, &options, &mut |_| {})?;
    wait(device);
    print("load", &mut [begun.elapsed().as_secs_f64() * 1e3]);
    for remark in pipeline.remarks() {
        println!("{{\"remark\":{remark:?}}}");
    }
    let tokens = pipeline.tokens(PROMPT)?.len();
    time(&format!("text encoder, {tokens} tokens"), device, || {
        pipeline.features(PROMPT).map(drop)
    })?;
    for size in [512, 1024, 1536, 2048] {
        if size > pipeline.limits().side_max {
            break;
        }
        let params = Params {
            prompt: PROMPT.into(),
            width: Some(size),
            height: Some(size),
            steps: Some(ROUNDS as u32 + 3),
            ..Params::default()
        };
        let params = pipeline.resolve(&params)?;
        let conditioning = pipeline.encode(&params)?;
        let mut generation = pipeline.start(&params, 42, None)?;
        time(&format!("noise {size}"), device, || pipeline.start(&params, 42, None).map(drop))?;
        time(&format!("prompt again {size}"), device, || pipeline.encode(&params).map(drop))?;
        time(&format!("step {size}"), device, || pipeline.step(&mut generation, &conditioning))?;
        for (name, preview) in
            [("step with snapshot", false), ("step with snapshot and preview", true)]
        {
            let mut generation = pipeline.start(&params, 42, None)?;
            time(&format!("{name} {size}"), device, || {
                pipeline.step_with_snapshot(&mut generation, &conditioning, preview).map(drop)
            })?;
        }
        time(&format!("decode {size}"), device, || pipeline.decode(&generation).map(drop))?;
    }
    Ok(())
}

fn time(
    name: &str,
    device: Device,
    mut work: impl FnMut() -> zimage::Result<()>,
) -> zimage::Result<()> {
    let mut took = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS + 3 {
        let begun = Instant::now();
        work()?;
        wait(device);
        if round >= 3 {
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    print(name, &mut took);
    Ok(())
}

fn print(name: &str, took: &mut [f64]) {
    took.sort_by(f64::total_cmp);
    println!("{{\"stage\":{name:?},\"ms\":{:.2},\"least\":{:.2}}}", took[took.len() / 2], took[0]);
}

fn wait(device: Device) {
    if let Device::Cuda(ordinal) = device {
        tch::Cuda::synchronize(ordinal as i64);
    }
}
