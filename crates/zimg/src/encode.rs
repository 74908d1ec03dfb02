//! Pixels to the bytes of a file.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use zimg_client::{Failure, Image, Kind};

/// A JPEG's quality: no difference that an eye would see, a tenth of a PNG's bytes.
const JPEG_QUALITY: u8 = 92;

/// A picture file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Jpeg,
    /// Lossless.
    WebP,
    /// Binary PPM (P6): the pixels as they are.
    Ppm,
}

impl Format {
    /// What the extension stands for, whatever its case.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            "ppm" => Some(Self::Ppm),
            _ => None,
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// `Internal`: the encoder failed.
    pub(crate) fn encode(self, image: &Image) -> Result<Vec<u8>, Failure> {
        let Image { info, pixels } = image;
        let mut bytes = Vec::with_capacity(pixels.len());
        // At 1024x1024 a photograph takes 12 ms so; the encoder's default takes 30 times as long
        // and is no smaller.
        let png = (CompressionType::Fast, FilterType::Adaptive);
        let rgb = ExtendedColorType::Rgb8;
        let done = match self {
            Self::Png => PngEncoder::new_with_quality(&mut bytes, png.0, png.1).write_image(
                pixels,
                info.width,
                info.height,
                rgb,
            ),
            Self::Jpeg => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).write_image(
                pixels,
                info.width,
                info.height,
                rgb,
            ),
            Self::WebP => WebPEncoder::new_lossless(&mut bytes).write_image(
                pixels,
                info.width,
                info.height,
                rgb,
            ),
            Self::Ppm => {
                bytes.extend_from_slice(
                    format!("P6\n{} {}\n255\n", info.width, info.height).as_bytes(),
                );
                bytes.extend_from_slice(pixels);
                Ok(())
            }
        };
        let failed =
            |error| Failure::new(Kind::Internal, format!("cannot encode the picture: {error}"));
        done.map(|()| bytes).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::Picture;

    fn gradient() -> Image {
        let (width, height) = (80, 64);
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 9]));
        let bytes = u64::from(3 * width * height);
        Image {
            info: Picture { index: 0, seed: 1, width, height, bytes },
            pixels: pixels.collect(),
        }
    }

    #[test]
    fn lossless_formats_give_the_pixels_back() {
        let image = gradient();
        for format in [Format::Png, Format::WebP] {
            let bytes = format.encode(&image).unwrap();
            let read = image::load_from_memory(&bytes).unwrap().into_rgb8();
            assert_eq!(read.dimensions(), (80, 64));
            assert_eq!(read.into_raw(), image.pixels, "{format:?}");
        }
        let bytes = Format::Ppm.encode(&image).unwrap();
        assert_eq!(bytes.strip_prefix(b"P6\n80 64\n255\n"), Some(&image.pixels[..]));
    }

    #[test]
    fn a_jpeg_is_near() {
        let image = gradient();
        let bytes = Format::Jpeg.encode(&image).unwrap();
        let read = image::load_from_memory(&bytes).unwrap().into_rgb8().into_raw();
        let worst = read.iter().zip(&image.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst < Some(12), "{worst:?}");
    }

    #[test]
    fn the_extension_decides() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a.PNG"), Some(Format::Png));
        assert_eq!(of("a.b.jpeg"), Some(Format::Jpeg));
        assert_eq!(of("a.jpg"), Some(Format::Jpeg));
        assert_eq!(of("a.webp"), Some(Format::WebP));
        assert_eq!(of("a.ppm"), Some(Format::Ppm));
        assert_eq!(of("png"), None);
    }
}
