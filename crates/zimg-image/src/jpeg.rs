//! JPEG, with the metadata as EXIF.

use jpeg_encoder::{ColorType, Encoder, EncodingError};

use crate::pixels::Pixels;

/// The application's segment that EXIF is in.
const APP1: u8 = 1;

/// A file that looks like the image; `quality` is 1 to 100.
pub(crate) fn encode(
    pixels: Pixels<'_>,
    quality: u8,
    exif: Option<&[u8]>,
) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    if let Some(exif) = exif {
        encoder.add_app_segment(APP1, [b"Exif\0\0", exif].concat())?;
    }
    // Longer sides than a JPEG can have are refused, not cut.
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(0);
    encoder.encode(pixels.rgb, side(pixels.width), side(pixels.height), ColorType::Rgb)?;
    Ok(bytes)
}
