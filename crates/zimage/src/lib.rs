//! The Z-Image text-to-image model on libtorch: the mathematics of diffusers' `ZImagePipeline`.
//!
#![doc = include_str!("../README.md")]

mod adapters;
mod dtype;
mod error;
mod image;
mod lru;
mod nn;
mod ops;
mod options;
mod params;
mod pipeline;
mod rates;
pub mod schedule;
mod text_encoder;
mod tokenizer;
mod transformer;
mod vae;
pub mod weights;

pub use adapters::AdapterChoice;
pub use dtype::DType;
pub use error::{Error, ErrorKind, Result};
pub use image::Image;
pub use options::{Options, Residency};
pub use params::{
    Defaults, Hires, InitialImage, InputImages, Limits, Params, ResolvedParams, Variety,
};
pub use pipeline::{
    Conditioning, ControlChoice, ControlImage, EncodedImages, Fit, Generation, ImageInputs,
    ImageRoom, LoadingPipeline, LoadingWarmup, Measure, Pipeline, Snapshot, WarmPipeline,
    WarmupEvent, WarmupPlan, WarmupSize, WarmupStep, WarmupTimings,
};
pub use rates::measure;
pub use tokenizer::PromptTokenizer;
pub use vae::Vae;
pub use weights::{Progress, WeightDescriptors};
pub use zimage_checkpoint::DecoderFootprint;
pub use zimage_checkpoint::{self as checkpoint, Checkpoint};
