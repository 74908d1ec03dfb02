//! Times denoising steps and images with and without a ControlNet in turn, and how long its first use takes.
//!
//! usage: `controls CHECKPOINT DTYPE DEVICE SIZE [BLOCKS [NETS]]`: BLOCKS of the denoising blocks stay on the
//! device [all]; NETS are of 1, 2.0, 2.1 and lite, with random numbers in bfloat16 [1,2.1]. Prints one line of
//! JSON for each: medians in milliseconds, and the ratios to none

#![expect(clippy::print_stdout, reason = "a program for a terminal and for scripts")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use zimage::checkpoint::TransformerConfig;
use zimage::{
    Checkpoint, ControlChoice, ControlImage, ImageInputs, Options, Params, Pipeline, Residency,
};

/// Images of each kind, in turns.
const ROUNDS: usize = 6;

/// A ControlNet as alibaba-pai publishes it.
struct Net {
    name: &'static str,
    /// The share of the model's layers that have a control layer is one of so many.
    stride: i64,
    channels: i64,
    /// Whether refiners are control blocks, and whether there are any.
    refiner: Option<bool>,
}

const NETS: [Net; 4] = [
    Net { name: "1", stride: 5, channels: 16, refiner: Some(false) },
    Net { name: "2.0", stride: 2, channels: 33, refiner: None },
    Net { name: "2.1", stride: 2, channels: 33, refiner: Some(true) },
    Net { name: "lite", stride: 10, channels: 33, refiner: Some(true) },
];

impl Net {
    /// Writes it with random numbers, which the device makes.
    fn write(
        &self,
        config: &TransformerConfig,
        device: Device,
        path: &Path,
    ) -> Result<(), Box<dyn Error>> {
        let (dim, inner) = (config.dim, config.feed_forward_width());
        let mut tensors = Vec::new();
        let mut matrix = |name: String, outputs: i64, inputs: i64| {
            let random = Tensor::randn([outputs, inputs], (Kind::BFloat16, device));
            let scaled = random / (inputs as f64).sqrt();
            tensors.push((name, scaled.to_device(Device::Cpu)));
        };
        let mut vectors = Vec::new();
        let mut vector = |name: String, width: i64, value: f64| {
            let of = Tensor::full([width], value, (Kind::BFloat16, Device::Cpu));
            vectors.push((name, of));
        };
        let patch = format!("{}-{}", config.patch_size(), config.frame_patch_size());
        let width = config.patch_size().pow(2) * self.channels;
        matrix(format!("control_all_x_embedder.{patch}.weight"), dim, width);
        vector(format!("control_all_x_embedder.{patch}.bias"), dim, 0.0);
        let layers = (config.n_layers / self.stride).max(1);
        let refiners = self.refiner.map_or(0, |_| config.n_refiner_layers);
        let groups = [
            ("control_noise_refiner", refiners, self.refiner == Some(true)),
            ("control_layers", layers, true),
        ];
        for (group, count, is_control) in groups {
            for block in (0..count).map(|i| format!("{group}.{i}")) {
                for part in ["to_q", "to_k", "to_v", "to_out.0"] {
                    matrix(format!("{block}.attention.{part}.weight"), dim, dim);
                }
                matrix(format!("{block}.feed_forward.w1.weight"), inner, dim);
                matrix(format!("{block}.feed_forward.w3.weight"), inner, dim);
                matrix(format!("{block}.feed_forward.w2.weight"), dim, inner);
                matrix(format!("{block}.adaLN_modulation.0.weight"), 4 * dim, config.time_width());
                vector(format!("{block}.adaLN_modulation.0.bias"), 4 * dim, 0.0);
                for part in ["attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"] {
                    vector(format!("{block}.{part}.weight"), dim, 1.0);
                }
                for part in ["norm_q", "norm_k"] {
                    vector(format!("{block}.attention.{part}.weight"), config.head_dim(), 1.0);
                }
                let before = (is_control && block.ends_with(".0")).then_some("before_proj");
                for part in before.into_iter().chain(is_control.then_some("after_proj")) {
                    matrix(format!("{block}.{part}.weight"), dim, dim);
                    vector(format!("{block}.{part}.bias"), dim, 0.0);
                }
            }
        }
        tensors.append(&mut vectors);
        Ok(Tensor::write_safetensors(&tensors, path)?)
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, dtype, device, size, rest @ ..] = &args[..] else {
        return Err("usage: controls CHECKPOINT DTYPE DEVICE SIZE [BLOCKS [NETS]]".into());
    };
    let residency = match rest.first().map(String::as_str) {
        None | Some("all") => Residency::All,
        Some(blocks) => Residency::part(blocks.parse()?, false),
    };
    let asked: Vec<&str> = rest.get(1).map_or("1,2.1", |nets| nets).split(',').collect();
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
    let folder = std::env::temp_dir().join(format!("zimg-controls-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let pipeline = Pipeline::load(&checkpoint, &options, &mut |_| {})?;
    let size: u32 = size.parse()?;
    let params = Params {
        prompt: "a lighthouse at dusk".to_owned(),
        width: Some(size),
        height: Some(size),
        ..Params::default()
    };
    for net in NETS.iter().filter(|net| asked.contains(&net.name)) {
        let file = folder.join(format!("{}.safetensors", net.name));
        net.write(&checkpoint.transformer, device, &file)?;
        let choice = ControlChoice { name: net.name.to_owned(), path: file.clone(), scale: 0.7 };
        let rgb: Vec<u8> = (0..3 * size * size).map(|at| (at / 1000 % 256) as u8).collect();
        let one =
            ImageInputs { control: Some(ControlImage { rgb, choice }), ..ImageInputs::default() };
        let none = ImageInputs::default();
        let begun = Instant::now();
        let controlled = pipeline.resolve_with(&params, one.images())?;
        drop(pipeline.encode_images(&controlled, &one)?);
        pipeline.probe()?;
        let first_use = since(begun);
        let (mut steps, mut images) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut encodes = Vec::new();
        for round in 0..ROUNDS {
            for (kind, inputs) in [&none, &one].into_iter().enumerate() {
                let params = pipeline.resolve_with(&params, inputs.images())?;
                let image = Instant::now();
                let conditioning = pipeline.encode(&params)?;
                let encoded = match kind {
                    0 => None,
                    _ => Some(pipeline.encode_images(&params, inputs)?),
                };
                if round >= 2 && kind == 1 {
                    encodes.push(since(image));
                }
                let mut generation = pipeline.start(&params, 42, encoded.as_ref())?;
                while !generation.is_done() {
                    let begun = Instant::now();
                    pipeline.step(&mut generation, &conditioning)?;
                    // The first images load kernels and capture graphs.
                    if round >= 2 {
                        steps[kind].push(since(begun));
                    }
                }
                pipeline.decode(&generation)?;
                if round >= 2 {
                    images[kind].push(since(image));
                }
            }
        }
        let [none, one] = steps.map(median);
        let [image_none, image_one] = images.map(median);
        println!(
            "{{\"net\":{:?},\"dtype\":{dtype:?},\"size\":{size},\"none_ms\":{none:.3},\
             \"one_ms\":{one:.3},\"step\":{:.4},\"image_none_ms\":{image_none:.1},\
             \"image_one_ms\":{image_one:.1},\"image\":{:.4},\"encode_ms\":{:.1},\
             \"first_use_ms\":{first_use:.1}}}",
            net.name,
            one / none,
            image_one / image_none,
            median(encodes)
        );
        std::fs::remove_file(&file)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
