//! The Z-Image text-to-image model on libtorch: the mathematics of diffusers' `ZImagePipeline`.
//!
//! ```no_run
//! use zimage::{Checkpoint, DType, Options, Params, Pipeline};
//!
//! # fn main() -> zimage::Result<()> {
//! let checkpoint = Checkpoint::open("Z-Image-Turbo".as_ref())?;
//! let options = Options { device: tch::Device::Cpu, dtype: DType::Float32 };
//! let pipeline = Pipeline::load(&checkpoint, &options, &mut |_| {})?;
//! let plan = pipeline.plan(&Params { prompt: "a red fox".into(), ..Params::default() })?;
//! let conditioning = pipeline.encode(&plan)?;
//! let mut drawing = pipeline.start(&plan, 42)?;
//! while !drawing.is_done() {
//!     pipeline.step(&mut drawing, &conditioning)?;
//! }
//! let image = pipeline.decode(&drawing)?;
//! # Ok(())
//! # }
//! ```

pub mod checkpoint;
mod dtype;
mod error;
mod image;
mod nn;
mod params;
mod pipeline;
pub mod schedule;
mod text_encoder;
mod tokenizer;
mod transformer;
mod vae;

pub use checkpoint::Checkpoint;
pub use dtype::DType;
pub use error::{Error, ErrorKind, Result};
pub use image::Image;
pub use params::{Defaults, Limits, Params, Plan};
pub use pipeline::{Conditioning, Drawing, Options, Pipeline, Progress};
pub use tokenizer::PromptTokenizer;
pub use vae::Vae;
