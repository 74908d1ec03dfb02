//! Masks: from a file or from transparent parts, in the image's place, 255 where it may change.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, Luma, RgbaImage};

use super::decode::SourceImage;
use super::fault::{InputError, InputFault};
use super::geometry::Plan;
use super::request::{InputFit, InputRequest, MaskChoice};
use super::{colour, place};

/// How much of a colour is no grey: JPEG's noise is below.
const COLOUR_MIN: u8 = 24;
/// Pixels of a latent: the model changes all of them or none.
const CELL: u32 = 8;
/// From this value on a pixel may change (diffusers' `VaeImageProcessor.binarize`).
const WHITE: u8 = 128;
/// How far the shape of a mask may be from the image's, as a share.
const SHAPE_NEAR: f64 = 0.005;

/// The mask of an image.
pub(super) enum ChosenMask {
    None,
    /// The image's own transparency.
    Alpha,
    /// As large as the image.
    Grey(DynamicImage),
}

/// The mask that is asked for.
pub(super) fn choose(
    request: &InputRequest,
    image: &SourceImage,
    mask: Option<SourceImage>,
) -> Result<ChosenMask, InputError> {
    let chosen = match (request.mask, mask) {
        (MaskChoice::Alpha, _) if !image.transparent => {
            return Err(InputError::initial(InputFault::Opaque));
        }
        (MaskChoice::TransparentParts | MaskChoice::Alpha, _) if image.transparent => {
            ChosenMask::Alpha
        }
        (MaskChoice::File, Some(mask)) => ChosenMask::Grey(grey(mask, image)?),
        (MaskChoice::FileAlpha, Some(mask)) => {
            if !mask.transparent {
                return Err(InputError::mask(InputFault::Opaque));
            }
            let pixels = mask.image.to_rgba8();
            let (width, height) = pixels.dimensions();
            let grey =
                GrayImage::from_fn(width, height, |x, y| Luma([255 - pixels.get_pixel(x, y).0[3]]));
            ChosenMask::Grey(as_large(grey.into(), image)?)
        }
        _ => ChosenMask::None,
    };
    if request.invert_mask && matches!(chosen, ChosenMask::None) {
        return Err(InputError::initial(InputFault::Opaque));
    }
    Ok(chosen)
}

/// A file's brightness; transparent parts are black.
fn grey(mask: SourceImage, image: &SourceImage) -> Result<DynamicImage, InputError> {
    let pixels = match mask.inks {
        true => colour::in_srgb(mask.image, mask.profile.as_deref(), true).pixels,
        false => mask.image.into_rgba8(),
    };
    let is_coloured = |pixel: &[u8; 4]| {
        let [red, green, blue, alpha] = *pixel;
        let (low, high) = (red.min(green).min(blue), red.max(green).max(blue));
        alpha > 127 && high - low > COLOUR_MIN
    };
    let coloured = pixels.pixels().filter(|pixel| is_coloured(&pixel.0)).count();
    if mask.transparent && coloured > pixels.len() / 4 / 100 {
        return Err(InputError::mask(InputFault::ColouredMask));
    }
    let grey = DynamicImage::ImageRgba8(black_behind(pixels)).into_luma8();
    as_large(grey.into(), image)
}

fn black_behind(mut pixels: RgbaImage) -> RgbaImage {
    for pixel in pixels.pixels_mut() {
        let alpha = u32::from(pixel.0[3]);
        pixel.0[..3].iter_mut().for_each(|value| *value = (u32::from(*value) * alpha / 255) as u8);
        pixel.0[3] = 255;
    }
    pixels
}

/// The mask in the image's size, if it has its shape.
fn as_large(mask: DynamicImage, image: &SourceImage) -> Result<DynamicImage, InputError> {
    let (size, own) = (image.size(), (mask.width(), mask.height()));
    if own == size {
        return Ok(mask);
    }
    let shape = |(width, height): (u32, u32)| f64::from(width) / f64::from(height);
    if (shape(own) / shape(size) - 1.0).abs() > SHAPE_NEAR {
        return Err(InputError::mask(InputFault::MaskSize(own, size)));
    }
    Ok(mask.resize_exact(size.0, size.1, FilterType::Triangle))
}

/// The mask on the canvas; none if nothing is masked. What is around the image may change.
pub(super) fn placed(
    chosen: &ChosenMask,
    canvas: &RgbaImage,
    plan: &Plan,
    request: &InputRequest,
) -> Option<Vec<u8>> {
    let at = plan.at;
    let inside = match chosen {
        // `None` asks for all of the image, and of what is added.
        ChosenMask::None if plan.margins.is_empty() || request.mask == MaskChoice::None => {
            return None;
        }
        ChosenMask::None => GrayImage::new(at.width, at.height),
        ChosenMask::Alpha => GrayImage::from_fn(at.width, at.height, |x, y| {
            Luma([255 - canvas.get_pixel(at.x + x, at.y + y).0[3]])
        }),
        ChosenMask::Grey(mask) => {
            let cut = place::cut(mask, plan);
            match (cut.width(), cut.height()) == (at.width, at.height) {
                true => cut.into_luma8(),
                false => cut.resize_exact(at.width, at.height, FilterType::Triangle).into_luma8(),
            }
        }
    };
    let mut mask = GrayImage::from_pixel(plan.canvas.0, plan.canvas.1, Luma([255]));
    imageops::replace(&mut mask, &inside, at.x.into(), at.y.into());
    if request.invert_mask {
        for y in at.y..at.y + at.height {
            for x in at.x..at.x + at.width {
                mask.get_pixel_mut(x, y).0[0] ^= 255;
            }
        }
    }
    if request.mask_blur > 0.0 {
        mask = imageops::blur(&mask, request.mask_blur);
    }
    whole_cells(&mut mask);
    Some(mask.into_raw())
}

/// Makes each cell white that has a white pixel. The model changes whole cells and looks at the first
/// pixel of each: it would not see a thin line, nor what is added beside an image that ends in a cell.
fn whole_cells(mask: &mut GrayImage) {
    let (width, height) = mask.dimensions();
    for top in (0..height).step_by(CELL as usize) {
        for left in (0..width).step_by(CELL as usize) {
            let pixels = || (0..CELL * CELL).map(|at| (left + at % CELL, top + at / CELL));
            if pixels().any(|(x, y)| mask.get_pixel(x, y).0[0] >= WHITE) {
                pixels().for_each(|(x, y)| mask.put_pixel(x, y, Luma([255])));
            }
        }
    }
}

/// What is to be said of transparency.
pub(super) fn note(
    chosen: &ChosenMask,
    image: &SourceImage,
    plan: &Plan,
    fit: InputFit,
) -> Option<String> {
    match chosen {
        ChosenMask::Alpha => Some("its transparent parts are the mask".to_owned()),
        _ if image.transparent => Some("white behind its transparent parts".to_owned()),
        ChosenMask::Grey(_) if fit == InputFit::Pad && plan.margins.is_empty() => {
            Some("borders may change".to_owned())
        }
        _ => None,
    }
}
