//! Generation metadata: how an image was made, written into its file and read from it.

mod embedded;
pub(crate) mod exif;
mod generation;
pub(crate) mod keywords;
mod parameters;

pub use embedded::EmbeddedMetadata;
pub use generation::GenerationMetadata;
