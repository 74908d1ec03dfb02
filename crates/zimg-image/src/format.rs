//! Image file formats: which there are, and pixels with their metadata as a file's bytes.

use std::path::Path;

use crate::error::Error;
use crate::metadata::{GenerationMetadata, exif};
use crate::pixels::Pixels;
use crate::{jpeg, png, webp};

/// Quality of a JPEG: a tenth of a PNG's bytes without a visible difference.
const JPEG_QUALITY: u8 = 92;

/// The format of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// Lossless, and read by every program.
    Png,
    /// Lossy and small, see [`Encoding::quality`].
    Jpeg,
    /// Lossless and smaller than PNG, or with a quality lossy and as small as JPEG.
    WebP,
    /// Binary PPM (P6): the pixels after three lines of text.
    Ppm,
    /// The pixels alone: 8-bit RGB, rows from the top.
    Raw,
}

/// How to write a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Quality of a JPEG (default 92) or a lossy WebP (default lossless), 1 to 100.
    pub quality: Option<u8>,
}

impl ImageFormat {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::WebP, Self::Ppm, Self::Raw];

    /// The format of a file name, by its extension in any case.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            "ppm" => Some(Self::Ppm),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }

    /// The usual extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Ppm => "ppm",
            Self::Raw => "raw",
        }
    }

    /// The bytes of a file of this format. PNG, JPEG and WebP carry the metadata; PPM and raw
    /// pixels have no place for it.
    ///
    /// # Errors
    ///
    /// [`Error::PixelCount`] if there are not 3 · width · height bytes of pixels,
    /// [`Error::Encode`] if the encoder refuses them: a side of a JPEG has at most 65,535 pixels, a
    /// side of a WebP at most 16,383.
    pub fn encode(
        self,
        pixels: Pixels<'_>,
        encoding: Encoding,
        metadata: Option<&GenerationMetadata>,
    ) -> Result<Vec<u8>, Error> {
        pixels.check()?;
        let Pixels { width, height, rgb } = pixels;
        let exif = |max| metadata.and_then(|metadata| exif::of(metadata, max));
        match self {
            Self::Png => {
                let mut bytes = Vec::with_capacity(rgb.len());
                png::encode(&mut bytes, pixels, metadata).map_err(Error::encode)?;
                Ok(bytes)
            }
            Self::Jpeg => {
                let quality = encoding.quality.unwrap_or(JPEG_QUALITY);
                let exif = exif(exif::SEGMENT_MAX);
                jpeg::encode(pixels, quality, exif.as_deref()).map_err(Error::encode)
            }
            Self::WebP => match encoding.quality {
                Some(quality) => webp::lossy(pixels, quality, exif(usize::MAX)),
                None => webp::lossless(pixels, exif(usize::MAX)),
            },
            Self::Ppm => Ok([format!("P6\n{width} {height}\n255\n").as_bytes(), rgb].concat()),
            Self::Raw => Ok(rgb.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Vec<u8> {
        (0..64).flat_map(|y| (0..80).flat_map(move |x| [x, y, 9])).collect()
    }

    fn encoded(format: ImageFormat, rgb: &[u8], quality: Option<u8>) -> Vec<u8> {
        let pixels = Pixels { width: 80, height: 64, rgb };
        format.encode(pixels, Encoding { quality }, None).unwrap()
    }

    #[test]
    fn lossless_formats_give_the_pixels_back() {
        let rgb = gradient();
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let read = image::load_from_memory(&encoded(format, &rgb, None)).unwrap().into_rgb8();
            assert_eq!(read.dimensions(), (80, 64));
            assert_eq!(read.into_raw(), rgb, "{format:?}");
        }
        let bytes = encoded(ImageFormat::Ppm, &rgb, None);
        assert_eq!(bytes.strip_prefix(b"P6\n80 64\n255\n"), Some(&rgb[..]));
        assert_eq!(encoded(ImageFormat::Raw, &rgb, None), rgb);
    }

    #[test]
    fn lossy_formats_are_near_and_their_quality_counts() {
        let rgb = gradient();
        for (format, quality) in [(ImageFormat::Jpeg, None), (ImageFormat::WebP, Some(95))] {
            let bytes = encoded(format, &rgb, quality);
            let read = image::load_from_memory(&bytes).unwrap().into_rgb8().into_raw();
            let far = read.iter().zip(&rgb).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            let mean = f64::from(far) / rgb.len() as f64;
            assert!(mean < 2.0, "{format:?}: {mean}");
            assert!(encoded(format, &rgb, Some(10)).len() < bytes.len(), "{format:?}");
        }
    }

    #[test]
    fn pixels_of_another_size_are_refused() {
        for format in ImageFormat::ALL {
            for (width, height) in [(0, 64), (80, 63), (80, 65), (u32::MAX, u32::MAX)] {
                let pixels = Pixels { width, height, rgb: &gradient() };
                let refused = format.encode(pixels, Encoding::default(), None);
                assert!(matches!(refused, Err(Error::PixelCount { .. })), "{format:?}");
            }
        }
    }

    #[test]
    fn the_extension_decides() {
        let of = |name: &str| ImageFormat::of(Path::new(name));
        assert_eq!(of("a.PNG"), Some(ImageFormat::Png));
        assert_eq!(of("a.b.jpeg"), Some(ImageFormat::Jpeg));
        assert_eq!(of("png"), None);
        for format in &ImageFormat::ALL {
            assert_eq!(of(&format!("a.{}", format.extension())), Some(*format));
        }
    }
}
