//! The pixels of an image in their place: cut, scaled, in sRGB, on a canvas that is transparent around
//! them.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GenericImageView, ImageBuffer, Rgba, RgbaImage};

use super::colour;
use super::decode::SourceImage;
use super::geometry::Plan;

/// An image on its canvas.
pub(super) struct PlacedImage {
    /// As large as what is generated.
    pub(super) canvas: RgbaImage,
    /// What was done to its colours.
    pub(super) note: Option<String>,
}

/// Cuts, scales and places an image. Lanczos, as diffusers' `VaeImageProcessor` has it.
pub(super) fn image(source: &SourceImage, plan: &Plan) -> PlacedImage {
    let cut = cut(&source.image, plan);
    let (width, height) = (plan.at.width, plan.at.height);
    let scaled = if cut.dimensions() == (width, height) {
        cut
    } else if source.transparent {
        // Colours of transparent pixels must not get into their neighbours.
        let mut pixels = cut.into_rgba16();
        by_alpha(&mut pixels, |value, alpha| value * alpha / 65_535);
        let mut pixels = imageops::resize(&pixels, width, height, FilterType::Lanczos3);
        by_alpha(&mut pixels, |value, alpha| (value * 65_535).checked_div(alpha).unwrap_or(0));
        match source.image.color().bytes_per_pixel() / source.image.color().channel_count() {
            1 => DynamicImage::ImageRgba16(pixels).into_rgba8().into(),
            _ => pixels.into(),
        }
    } else {
        cut.resize_exact(width, height, FilterType::Lanczos3)
    };
    let colours = colour::in_srgb(scaled, source.profile.as_deref(), source.inks);
    let mut canvas = RgbaImage::new(plan.canvas.0, plan.canvas.1);
    imageops::replace(&mut canvas, &colours.pixels, plan.at.x.into(), plan.at.y.into());
    PlacedImage { canvas, note: colours.note }
}

/// The part of an image that is used.
pub(super) fn cut(image: &DynamicImage, plan: &Plan) -> DynamicImage {
    let part = plan.part;
    image.crop_imm(part.x, part.y, part.width, part.height)
}

fn by_alpha(pixels: &mut ImageBuffer<Rgba<u16>, Vec<u16>>, change: impl Fn(u32, u32) -> u32) {
    for pixel in pixels.pixels_mut() {
        let alpha = pixel.0[3].into();
        for value in &mut pixel.0[..3] {
            *value = u16::try_from(change((*value).into(), alpha)).unwrap_or(u16::MAX);
        }
    }
}
