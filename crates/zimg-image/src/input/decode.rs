//! A file's bytes as pixels in the position in which they are shown. Files are not trusted: the
//! decoders are limited in memory, and [`super::isolated`] runs them in a process of their own.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    RgbaImage,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::fault::InputFault;
use super::limits::BUFFER_MAX;
use crate::file_kind::FileKind;

/// A decoded file.
#[derive(Debug)]
pub(super) struct SourceImage {
    /// In the position in which it is shown. Inks of CMYK are in the places of red, green, blue and
    /// alpha.
    pub(super) image: DynamicImage,
    /// The profile of its colours.
    pub(super) profile: Option<Vec<u8>>,
    pub(super) inks: bool,
    /// Whether a pixel is not opaque.
    pub(super) transparent: bool,
    /// What is to be said of it.
    pub(super) notes: Vec<String>,
}

impl SourceImage {
    /// Width and height as it is shown.
    pub(super) fn size(&self) -> (u32, u32) {
        self.image.dimensions()
    }

    /// Decodes a file of at most `pixels_max` pixels.
    pub(super) fn decode(bytes: &[u8], pixels_max: u64) -> Result<Self, InputFault> {
        let format = match FileKind::of(bytes) {
            Some(FileKind::Png) => ImageFormat::Png,
            Some(FileKind::Jpeg) => ImageFormat::Jpeg,
            Some(FileKind::WebP) => ImageFormat::WebP,
            Some(FileKind::Gif) => ImageFormat::Gif,
            Some(FileKind::Tiff) => ImageFormat::Tiff,
            Some(FileKind::Bmp) => ImageFormat::Bmp,
            Some(FileKind::Pnm) => ImageFormat::Pnm,
            Some(kind) => return Err(InputFault::Unread(kind)),
            None => return Err(InputFault::Unknown),
        };
        let mut limits = Limits::default();
        limits.max_alloc = Some(BUFFER_MAX);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(fault)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > pixels_max {
            return Err(InputFault::TooManyPixels(width, height));
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut profile = match format {
            // With limits, small images have no room for their profile (image 0.25.10).
            ImageFormat::Tiff => TiffDecoder::new(Cursor::new(bytes))
                .and_then(|mut decoder| decoder.icc_profile())
                .ok()
                .flatten(),
            _ => decoder.icc_profile().ok().flatten(),
        };
        let mut notes = Vec::new();
        let cmyk = match format {
            ImageFormat::Jpeg => cmyk(bytes)?,
            _ => None,
        };
        let inks = cmyk.is_some();
        let mut image = match cmyk {
            Some(image) => DynamicImage::ImageRgba8(image),
            None => {
                use image::ExtendedColorType::{Cmyk8, Cmyk16};
                if matches!(decoder.original_color_type(), Cmyk8 | Cmyk16) {
                    notes.push("CMYK without its profile".to_owned());
                    profile = None;
                }
                DynamicImage::from_decoder(decoder).map_err(fault)?
            }
        };
        if frames(bytes, format) {
            notes.push("the first of its frames".to_owned());
        }
        if orientation != Orientation::NoTransforms {
            image.apply_orientation(orientation);
            notes.push(format!("turned as its EXIF orientation {} says", orientation.to_exif()));
        }
        let transparent = !inks && is_transparent(&image);
        Ok(Self { image, profile, inks, transparent, notes })
    }
}

/// Whether a file is an animation or has several images.
fn frames(bytes: &[u8], format: ImageFormat) -> bool {
    let bytes = Cursor::new(bytes);
    match format {
        ImageFormat::Png => {
            PngDecoder::new(bytes).is_ok_and(|decoder| decoder.is_apng().unwrap_or(false))
        }
        ImageFormat::WebP => WebPDecoder::new(bytes).is_ok_and(|decoder| decoder.has_animation()),
        ImageFormat::Gif => GifDecoder::new(bytes).is_ok_and(|decoder| {
            use image::AnimationDecoder;
            decoder.into_frames().take(2).filter(Result::is_ok).count() == 2
        }),
        _ => false,
    }
}

/// The inks of a CMYK JPEG, 255 being all of an ink; none of another JPEG.
///
/// Photoshop stores them inverted, and all programs follow it, whether there is its marker or not
/// (Pillow: `CMYK;I` in `JpegImagePlugin.py`).
fn cmyk(bytes: &[u8]) -> Result<Option<RgbaImage>, InputFault> {
    let damaged = |error: zune_jpeg::errors::DecodeErrors| InputFault::damaged(error);
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let stored = match decoder.input_colorspace() {
        Some(stored @ (ColorSpace::CMYK | ColorSpace::YCCK)) => stored,
        _ => return Ok(None),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(stored));
    let Some((width, height)) = decoder.dimensions() else { return Ok(None) };
    let mut pixels = decoder.decode().map_err(damaged)?;
    for pixel in pixels.chunks_exact_mut(4) {
        if stored == ColorSpace::YCCK {
            let [y, blue, red] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
            let (blue, red) = (blue - 128.0, red - 128.0);
            // ITU-T T.871, 7. The colours are those that the inks leave.
            pixel[0] = (y + 1.402 * red).round() as u8;
            pixel[1] = (y - 0.344_136 * blue - 0.714_136 * red).round() as u8;
            pixel[2] = (y + 1.772 * blue).round() as u8;
        } else {
            pixel[..3].iter_mut().for_each(|ink| *ink = 255 - *ink);
        }
        pixel[3] = 255 - pixel[3];
    }
    let (width, height) = (u32::try_from(width), u32::try_from(height));
    let (Ok(width), Ok(height)) = (width, height) else { return Ok(None) };
    Ok(RgbaImage::from_raw(width, height, pixels))
}

fn is_transparent(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageRgba8(image) => image.pixels().any(|pixel| pixel.0[3] < u8::MAX),
        DynamicImage::ImageLumaA8(image) => image.pixels().any(|pixel| pixel.0[1] < u8::MAX),
        DynamicImage::ImageRgba16(image) => image.pixels().any(|pixel| pixel.0[3] < u16::MAX),
        DynamicImage::ImageLumaA16(image) => image.pixels().any(|pixel| pixel.0[1] < u16::MAX),
        DynamicImage::ImageRgba32F(image) => image.pixels().any(|pixel| pixel.0[3] < 1.0),
        _ => false,
    }
}

fn fault(error: ImageError) -> InputFault {
    match error {
        ImageError::Limits(_) => InputFault::Memory,
        other => InputFault::damaged(other),
    }
}
