//! What the example that measures and the fuzzer call. No promise to anyone.

use std::path::Path;

use zimg_client::Failure;

use crate::batch::BatchItem;
use crate::encode::{Encoding, Format, Pixels};
use crate::recipe;

/// The bytes of a file of this name with these 3 · width · height bytes of pixels, without how
/// they were made.
///
/// # Errors
///
/// The encoder's.
pub fn encode(name: &str, width: u32, height: u32, rgb: &[u8]) -> Result<Vec<u8>, Failure> {
    let format = Format::of(Path::new(name)).unwrap_or(Format::Png);
    format.encode(Pixels { width, height, rgb }, Encoding::default(), None)
}

/// Reads how an image was made out of a file's bytes; whether it says so.
pub fn read_image(bytes: &[u8]) -> bool {
    recipe::found(bytes).is_some_and(|found| found.recipe.is_some())
}

/// Reads a batch's line; whether it is one.
pub fn read_line(line: &str) -> bool {
    BatchItem::of(line).is_ok()
}
