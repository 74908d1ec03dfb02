//! Times denoising steps with none, one and three LoRAs in turn, and how long a switch takes.
//!
//! usage: `loras CHECKPOINT DTYPE DEVICE SIZE [RANK [BLOCKS]]`: LoRAs of this rank [32] with random numbers
//! on all linear maps of the blocks, in bfloat16; BLOCKS of the denoising blocks stay on the device
//! [all]. Prints one line of JSON: medians in milliseconds, and the ratios to none

#![expect(clippy::print_stdout, reason = "a program for a terminal and for scripts")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use zimage::checkpoint::TransformerConfig;
use zimage::{AdapterChoice, Checkpoint, Options, Params, Pipeline, Residency};

/// Images of each kind, in turns.
const ROUNDS: usize = 6;
/// What is compared: how many LoRAs.
const KINDS: [usize; 3] = [0, 1, 3];

/// A LoRA on all linear maps of all blocks, with its norm near that of a trained one.
fn write(config: &TransformerConfig, rank: i64, path: &Path) -> Result<(), Box<dyn Error>> {
    let (dim, inner) = (config.dim, config.feed_forward_width());
    let groups = [
        ("noise_refiner", config.n_refiner_layers),
        ("context_refiner", config.n_refiner_layers),
        ("layers", config.n_layers),
    ];
    let maps = [
        ("attention.to_q", dim, dim),
        ("attention.to_k", dim, dim),
        ("attention.to_v", dim, dim),
        ("attention.to_out.0", dim, dim),
        ("feed_forward.w1", dim, inner),
        ("feed_forward.w3", dim, inner),
        ("feed_forward.w2", inner, dim),
    ];
    let mut tensors = Vec::new();
    for (group, count) in groups {
        for block in 0..count {
            for (map, inputs, outputs) in maps {
                let name = format!("diffusion_model.{group}.{block}.{map}");
                let random = |shape: [i64; 2]| {
                    (Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.01)
                        .to_kind(Kind::BFloat16)
                };
                tensors.push((format!("{name}.lora_A.weight"), random([rank, inputs])));
                tensors.push((format!("{name}.lora_B.weight"), random([outputs, rank])));
            }
        }
    }
    Ok(Tensor::write_safetensors(&tensors, path)?)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, dtype, device, size, rest @ ..] = &args[..] else {
        return Err("usage: loras CHECKPOINT DTYPE DEVICE SIZE [RANK [BLOCKS]]".into());
    };
    let rank: i64 = rest.first().map_or(Ok(32), |rank| rank.parse())?;
    let residency = match rest.get(1).map(String::as_str) {
        None | Some("all") => Residency::All,
        Some(blocks) => Residency::part(blocks.parse()?, false),
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
        residency,
        packed: false,
        pinned: false,
    };
    let checkpoint = Checkpoint::open(Path::new(checkpoint))?;
    let folder = std::env::temp_dir().join(format!("zimg-loras-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let files: Vec<PathBuf> =
        (0..4).map(|number| folder.join(format!("{number}.safetensors"))).collect();
    for file in &files {
        write(&checkpoint.transformer, rank, file)?;
    }
    let pipeline = Pipeline::load(&checkpoint, &options, &mut |_| {})?;
    let choices = |files: &[PathBuf]| -> Vec<AdapterChoice> {
        let choice = |path: &PathBuf| AdapterChoice {
            name: path.display().to_string(),
            path: path.clone(),
            weight: 0.8,
        };
        files.iter().map(choice).collect()
    };
    let size = size.parse()?;
    let params = Params {
        prompt: "a lighthouse at dusk".to_owned(),
        width: Some(size),
        height: Some(size),
        ..Params::default()
    };
    let params = pipeline.resolve(&params)?;
    let adapt = |files: &[PathBuf]| -> Result<f64, Box<dyn Error>> {
        let begun = Instant::now();
        pipeline.adapt(&choices(files))?;
        pipeline.probe()?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    // The first use reads the file; the kernels of side products are loaded at the first step.
    let first_use = adapt(&files[..1])?;
    let first_of_others = adapt(&files[1..2])?;
    let mut steps = KINDS.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for (kind, loras) in KINDS.into_iter().enumerate() {
            adapt(&files[..loras])?;
            let conditioning = pipeline.encode(&params)?;
            let mut generation = pipeline.start(&params, 42, None)?;
            while !generation.is_done() {
                let begun = Instant::now();
                pipeline.step(&mut generation, &conditioning)?;
                // The first images load kernels and capture graphs.
                if round >= 2 {
                    steps[kind].push(begun.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }
    let mut switches = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..10 {
        switches[0].push(adapt(&files[..1])?);
        switches[0].push(adapt(&files[1..2])?);
        switches[1].push(adapt(&files[..3])?);
        switches[1].push(adapt(&files[1..4])?);
        switches[2].push(adapt(&[])?);
    }
    let [none, one, three] = steps.map(median);
    let [switch_one, switch_three, switch_off] = switches.map(median);
    println!(
        "{{\"dtype\":{dtype:?},\"size\":{size},\"rank\":{rank},\"none_ms\":{none:.3},\
         \"one_ms\":{one:.3},\"three_ms\":{three:.3},\"one\":{:.4},\"three\":{:.4},\
         \"first_use_ms\":{first_use:.1},\"next_first_use_ms\":{first_of_others:.1},\
         \"switch_one_ms\":{switch_one:.2},\"switch_three_ms\":{switch_three:.2},\
         \"switch_off_ms\":{switch_off:.2}}}",
        one / none,
        three / none
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
