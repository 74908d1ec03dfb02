//! Decoding in strips compared with decoding whole: pixels to the bit, times, and peaks of memory beside
//! the estimate.
//!
//! usage: `strips CHECKPOINT MODE WIDTHxHEIGHT,…`, where MODE is `fused` (bfloat16 on `cuda:0`), `eager`
//! (the same without fused kernels), `half` or `float32` (there too) or `cpu`. Of the checkpoint it reads
//! the configurations and the autoencoder's weights. Fails if a pixel differs.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::{Cuda, Device, Kind, Tensor};
use zimage::checkpoint::Component;
use zimage::weights::{Loader, Target};
use zimage::{Checkpoint, DecoderFootprint, Image, Vae};
use zimage_cuda::Kernels;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TIMES: usize = 5;
const MIB: f64 = (1 << 20) as f64;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, mode, sizes] = &args[..] else {
        return Err("usage: strips CHECKPOINT fused|eager|half|float32|cpu WIDTHxHEIGHT,…".into());
    };
    let (device, kind) = match &**mode {
        "fused" | "eager" => (Device::Cuda(0), Kind::BFloat16),
        "half" => (Device::Cuda(0), Kind::Half),
        "float32" => (Device::Cuda(0), Kind::Float),
        "cpu" => (Device::Cpu, Kind::Float),
        _ => return Err(format!("the mode {mode} is not known").into()),
    };
    let mut kernels = None;
    if device.is_cuda() {
        let gpu = zimage_cuda::init(0)?;
        if mode == "fused" {
            kernels = Some(Kernels::compile(&gpu)?);
        }
        println!("{}", gpu.name);
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
    let mut different = Vec::new();
    for size in sizes.split(',') {
        let (width, height) = size.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
        let (width, height) = (width.parse::<u32>()?, height.parse::<u32>()?);
        let scale = checkpoint.vae.scale();
        let (h, w) = (i64::from(height) / scale, i64::from(width) / scale);
        tch::manual_seed(7);
        let shape = [1, checkpoint.vae.latent_channels, h, w];
        let latents = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_to_device(device)?;
        let bytes = if kind == Kind::Float { 4 } else { 2 };
        let estimate = DecoderFootprint::of(&checkpoint.vae, (height, width), bytes);
        let whole = measure(device, || Ok(vae.image(&latents)?))?;
        let strips = measure(device, || Ok(vae.image_in_strips(&latents)?))?;
        for (name, measured, estimate) in
            [("whole", &whole, estimate.whole), ("strips", &strips, estimate.in_strips)]
        {
            let Measured { first, median, peak, .. } = measured;
            println!(
                "{mode} {size} {name:6}: first {first:.0} ms, then {median:.1} ms; peak {:.0} MiB, \
                 estimate {:.0} MiB",
                *peak as f64 / MIB,
                estimate as f64 / MIB
            );
        }
        let (pixels, in_strips) = (vae.decode(&latents)?, vae.decode_in_strips(&latents)?);
        let count = pixels.f_ne_tensor(&in_strips)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        let rows = whole.image.rgb.iter().zip(&strips.image.rgb).filter(|(a, b)| a != b).count();
        println!("{mode} {size}: {count} numbers and {rows} bytes differ");
        if count > 0 || rows > 0 {
            different.push(size);
        }
    }
    if different.is_empty() {
        println!("strips give the same picture to the bit at every size");
        return Ok(());
    }
    Err(format!("strips differ at {}", different.join(", ")).into())
}

struct Measured {
    image: Image,
    /// Milliseconds of the first run, and of the median of those after it.
    first: f64,
    median: f64,
    /// Bytes of libtorch's tensors at the peak, beside those before; 0 on a CPU.
    peak: u64,
}

fn measure(device: Device, decode: impl Fn() -> Result<Image>) -> Result<Measured> {
    let mut peak = 0;
    let mut before = 0;
    if let Device::Cuda(ordinal) = device {
        zimage_cuda::empty_cache()?;
        zimage_cuda::reset_peak(ordinal)?;
        before = zimage_cuda::allocated(ordinal)?.now;
    }
    let mut took = Vec::new();
    let mut image = None;
    for _ in 0..=TIMES {
        let start = Instant::now();
        image = Some(decode()?);
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    if let Device::Cuda(ordinal) = device {
        Cuda::synchronize(ordinal as i64);
        peak = zimage_cuda::allocated(ordinal)?.peak.saturating_sub(before);
    }
    let first = took.remove(0);
    took.sort_by(f64::total_cmp);
    let image = image.ok_or("nothing was decoded")?;
    Ok(Measured { image, first, median: took[TIMES / 2], peak })
}
