//! Pixels, and how they were made, to the bytes of a file.

mod jpeg;
mod png;
mod sheet;
mod webp;

use std::path::Path;

use clap::ValueEnum;
use zimg_client::{Failure, Kind};

pub(crate) use sheet::{Sheet, scaled};

use crate::recipe::{Recipe, exif};

/// A JPEG's quality: no difference that an eye would see, a tenth of a PNG's bytes.
const JPEG_QUALITY: u8 = 92;

/// An image file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lossless, read by everything
    Png,
    /// Small, see --quality
    #[value(name = "jpg", alias = "jpeg")]
    Jpeg,
    /// Lossless and smaller than PNG, or with --quality as small as JPEG
    #[value(name = "webp")]
    WebP,
    /// Binary PPM (P6): the pixels after three lines of text
    Ppm,
    /// The pixels: 8-bit RGB, rows from the top
    Raw,
}

/// 8-bit RGB, rows from the top without padding: 3 · width · height bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pixels<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: &'a [u8],
}

/// How to write a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// A JPEG's or WebP's, 1 to 100.
    pub(crate) quality: Option<u8>,
}

impl Format {
    /// What the extension stands for, whatever its case.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            "ppm" => Some(Self::Ppm),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }

    /// The usual extension.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Ppm => "ppm",
            Self::Raw => "raw",
        }
    }

    /// The file's bytes, with the recipe in them where the format has a place for it.
    ///
    /// # Errors
    ///
    /// `Internal`: the encoder failed.
    pub(crate) fn encode(
        self,
        pixels: Pixels<'_>,
        encoding: Encoding,
        recipe: Option<&Recipe>,
    ) -> Result<Vec<u8>, Failure> {
        let Pixels { width, height, rgb } = pixels;
        let exif = |max| recipe.and_then(|recipe| exif::of(recipe, max));
        match self {
            Self::Png => {
                let mut bytes = Vec::with_capacity(rgb.len());
                png::encode(&mut bytes, pixels, recipe).map_err(failed)?;
                Ok(bytes)
            }
            Self::Jpeg => {
                let quality = encoding.quality.unwrap_or(JPEG_QUALITY);
                let exif = exif(exif::SEGMENT_MAX);
                jpeg::encode(pixels, quality, exif.as_deref()).map_err(failed)
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

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Internal, format!("cannot encode the image: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Vec<u8> {
        (0..64).flat_map(|y| (0..80).flat_map(move |x| [x, y, 9])).collect()
    }

    fn encoded(format: Format, rgb: &[u8], quality: Option<u8>) -> Vec<u8> {
        let pixels = Pixels { width: 80, height: 64, rgb };
        format.encode(pixels, Encoding { quality }, None).unwrap()
    }

    #[test]
    fn lossless_formats_give_the_pixels_back() {
        let rgb = gradient();
        for format in [Format::Png, Format::WebP] {
            let read = image::load_from_memory(&encoded(format, &rgb, None)).unwrap().into_rgb8();
            assert_eq!(read.dimensions(), (80, 64));
            assert_eq!(read.into_raw(), rgb, "{format:?}");
        }
        let bytes = encoded(Format::Ppm, &rgb, None);
        assert_eq!(bytes.strip_prefix(b"P6\n80 64\n255\n"), Some(&rgb[..]));
        assert_eq!(encoded(Format::Raw, &rgb, None), rgb);
    }

    #[test]
    fn lossy_formats_are_near_and_their_quality_counts() {
        let rgb = gradient();
        for (format, quality) in [(Format::Jpeg, None), (Format::WebP, Some(95))] {
            let bytes = encoded(format, &rgb, quality);
            let read = image::load_from_memory(&bytes).unwrap().into_rgb8().into_raw();
            let far = read.iter().zip(&rgb).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            let mean = f64::from(far) / rgb.len() as f64;
            assert!(mean < 2.0, "{format:?}: {mean}");
            assert!(encoded(format, &rgb, Some(10)).len() < bytes.len(), "{format:?}");
        }
    }

    #[test]
    fn the_extension_decides() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a.PNG"), Some(Format::Png));
        assert_eq!(of("a.b.jpeg"), Some(Format::Jpeg));
        assert_eq!(of("png"), None);
        for format in Format::value_variants() {
            assert_eq!(of(&format!("a.{}", format.extension())), Some(*format));
        }
    }
}
