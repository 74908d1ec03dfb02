//! Image files: encoders, contact sheets and generation metadata.
//!
#![doc = include_str!("../README.md")]

mod contact_sheet;
mod error;
mod format;
mod jpeg;
mod metadata;
mod pixels;
mod png;
mod webp;

pub use contact_sheet::ContactSheet;
pub use error::Error;
pub use format::{Encoding, ImageFormat};
pub use metadata::{
    EmbeddedMetadata, GenerationMetadata, LostText, MetadataDoubt, MetadataWriter, UnreadMetadata,
};
pub use pixels::{Pixels, scaled};
