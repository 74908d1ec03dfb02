//! The Z-Image text-to-image model on libtorch: the mathematics of diffusers' `ZImagePipeline`.
//!
//! A [`Checkpoint`] describes files, a [`Pipeline`] is a model on a device, a [`ResolvedParams`] is a
//! checked request, and a [`Generation`] is one image between its noise and its pixels, whose loop
//! is the caller's: `examples/generate.rs` shows it on one page.

mod dtype;
mod error;
mod image;
mod lru;
mod nn;
mod ops;
mod options;
mod params;
mod pipeline;
pub mod schedule;
mod text_encoder;
mod tokenizer;
mod transformer;
mod vae;
pub mod weights;

pub use dtype::DType;
pub use error::{Error, ErrorKind, Result};
pub use image::Image;
pub use options::Options;
pub use params::{Defaults, Limits, Params, ResolvedParams};
pub use pipeline::{
    Conditioning, Fit, Generation, LoadingPipeline, LoadingWarmup, Measure, Pipeline, Snapshot,
    WarmPipeline, WarmupEvent, WarmupPlan, WarmupSize, WarmupStep, WarmupTimings,
};
pub use tokenizer::PromptTokenizer;
pub use vae::Vae;
pub use weights::{Progress, RetainedWeights};
pub use zimage_checkpoint::{self as checkpoint, Checkpoint};
