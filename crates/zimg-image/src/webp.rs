//! WebP: lossless unless a quality is asked for, with the metadata as EXIF.

use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::Error;
use crate::pixels::Pixels;

/// What is in an extended file: EXIF.
const HAS_EXIF: u8 = 1 << 3;

/// The smallest file that gives the pixels back.
pub(crate) fn lossless(pixels: Pixels<'_>, exif: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut bytes);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).map_err(Error::encode)?;
    }
    let Pixels { width, height, rgb } = pixels;
    encoder.write_image(rgb, width, height, ExtendedColorType::Rgb8).map_err(Error::encode)?;
    Ok(bytes)
}

/// A file that looks like the image; `quality` is 1 to 100.
pub(crate) fn lossy(
    pixels: Pixels<'_>,
    quality: u8,
    exif: Option<Vec<u8>>,
) -> Result<Vec<u8>, Error> {
    let Pixels { width, height, rgb } = pixels;
    let encoded = webp::Encoder::from_rgb(rgb, width, height)
        .encode_simple(false, quality.into())
        .map_err(|error| Error::encode(format!("{error:?}")))?;
    Ok(match exif {
        Some(exif) => extended(&encoded, width, height, &exif),
        None => encoded.to_vec(),
    })
}

/// The file with EXIF: an extended one, which has a chunk that says so before the pixels'
/// (<https://developers.google.com/speed/webp/docs/riff_container>).
fn extended(simple: &[u8], width: u32, height: u32, exif: &[u8]) -> Vec<u8> {
    let head = b"RIFF\0\0\0\0WEBP".len();
    let mut chunks = Vec::with_capacity(simple.len() + exif.len() + 64);
    let mut side = [0; 10];
    side[0] = HAS_EXIF;
    side[4..7].copy_from_slice(&(width - 1).to_le_bytes()[..3]);
    side[7..10].copy_from_slice(&(height - 1).to_le_bytes()[..3]);
    chunk(&mut chunks, b"VP8X", &side);
    chunks.extend_from_slice(simple.get(head..).unwrap_or_default());
    chunk(&mut chunks, b"EXIF", exif);
    let length = u32::try_from(chunks.len() + b"WEBP".len()).unwrap_or(u32::MAX);
    [b"RIFF".as_slice(), &length.to_le_bytes(), b"WEBP", &chunks].concat()
}

fn chunk(to: &mut Vec<u8>, name: &[u8; 4], bytes: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend_from_slice(bytes);
    // Chunks have even lengths.
    to.extend(std::iter::repeat_n(0, bytes.len() % 2));
}
