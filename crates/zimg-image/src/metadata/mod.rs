//! Generation metadata: how an image was made, written into its file and read from it.

mod containers;
mod embedded;
pub(crate) mod exif;
mod generation;
pub(crate) mod keywords;
mod parameters;
mod programs;

pub use containers::{LostText, MetadataDoubt};
pub use embedded::EmbeddedMetadata;
pub use generation::GenerationMetadata;
pub use programs::{MetadataWriter, UnreadMetadata};
