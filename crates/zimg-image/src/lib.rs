//! Image files: encoders, contact sheets and generation metadata.
//!
#![doc = include_str!("../README.md")]

mod contact_sheet;
mod control;
mod error;
mod file_kind;
mod format;
mod input;
mod jpeg;
mod metadata;
mod pixels;
mod png;
mod webp;

pub use contact_sheet::ContactSheet;
pub use control::{ControlKind, ControlRecord, OtherKind};
pub use error::Error;
pub use file_kind::FileKind;
pub use format::{Encoding, ImageFormat};
#[cfg(feature = "fuzzing")]
pub use input::read_input_within;
pub use input::{
    DECODER, InputDecoder, InputError, InputFault, InputFile, InputFit, InputImages, InputMargins,
    InputRecord, InputRequest, InputRole, InputSize, MaskChoice, read_input, run_decoder,
    size_of_shape,
};
pub use metadata::{
    EmbeddedMetadata, GenerationMetadata, LostText, MetadataDoubt, MetadataWriter, UnreadMetadata,
};
pub use pixels::{Pixels, scaled};
