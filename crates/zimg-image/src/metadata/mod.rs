//! Generation metadata: how an image was made, written into its file and read from it.

mod embedded;
pub(crate) mod exif;
mod generation;
mod parameters;

pub use embedded::EmbeddedMetadata;
pub use generation::GenerationMetadata;

/// PNG text keyword of the A1111 parameters text, which other programs read.
pub(crate) const PARAMETERS_KEYWORD: &str = "parameters";
/// PNG text keyword of all generation metadata as JSON.
pub(crate) const JSON_KEYWORD: &str = "zimg";
