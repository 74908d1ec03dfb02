//! Decoder timings: runs the autoencoder's decoder alone and writes its pixels, for comparison.
//!
//! usage: `decode CHECKPOINT WIDTHxHEIGHT,… MODE OUT`, where MODE is `fused` or `eager` (bfloat16
//! on `cuda:0`), `float32` (there too) or `cpu`. Pixels go to `OUT/MODE-SIZE.safetensors`. Of the
//! checkpoint it reads the configurations and the autoencoder's weights.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use zimage::checkpoint::Component;
use zimage::weights::{Loader, Target};
use zimage::{Checkpoint, Vae};
use zimage_cuda::Kernels;

const TIMES: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, sizes, mode, out] = &args[..] else {
        return Err("usage: decode CHECKPOINT WIDTHxHEIGHT,… fused|eager|float32|cpu OUT".into());
    };
    let (device, kind) = match &**mode {
        "fused" | "eager" => (Device::Cuda(0), Kind::BFloat16),
        "float32" => (Device::Cuda(0), Kind::Float),
        _ => (Device::Cpu, Kind::Float),
    };
    let mut kernels = None;
    if device.is_cuda() {
        let gpu = zimage_cuda::init(0)?;
        let start = Instant::now();
        if mode == "fused" {
            kernels = Some(Kernels::compile(&gpu)?);
        }
        println!("kernels: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    }
    let checkpoint = Checkpoint::open(Path::new(folder))?;
    // Its memory is where the weights are, so it goes after them.
    let mut loader = Loader::new();
    let weights = loader.weights(&checkpoint, Component::Vae, Target { device, kind })?;
    let mut vae = Vae::load(weights, &checkpoint.vae)?;
    loader.run(&mut |_| {})?;
    if let Some(kernels) = &kernels {
        vae.fuse(kernels)?;
    }

    for size in sizes.split(',') {
        let (width, height) = size.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
        let scale = checkpoint.vae.scale();
        let (width, height) = (width.parse::<i64>()? / scale, height.parse::<i64>()? / scale);
        tch::manual_seed(7);
        let shape = [1, checkpoint.vae.latent_channels, height, width];
        let latents = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_to_device(device)?;
        let mut took = Vec::new();
        for _ in 0..=TIMES {
            let start = Instant::now();
            drop(vae.image(&latents)?);
            took.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let first = took.remove(0);
        took.sort_by(f64::total_cmp);
        let (best, median, worst) = (took[0], took[TIMES / 2], took[TIMES - 1]);
        println!(
            "{mode} {size}: first {first:.1} ms, then {median:.2} ms ({best:.2} to {worst:.2})"
        );
        let pixels = vae.decode(&latents)?;
        let pixels = pixels.f_to_kind(Kind::Float)?.f_contiguous()?.f_to_device(Device::Cpu)?;
        let file = Path::new(out).join(format!("{mode}-{size}.safetensors"));
        Tensor::write_safetensors(&[("pixels", &pixels)], file)?;
    }
    if let Ok(memory) = std::process::Command::new("nvidia-smi")
        .args(["--query-gpu=memory.used", "--format=csv,noheader"])
        .output()
    {
        println!("GPU memory held: {}", String::from_utf8_lossy(&memory.stdout).trim());
    }
    Ok(())
}
