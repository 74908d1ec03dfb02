//! Colours in sRGB: embedded profiles are applied, and inks without a profile are printed on white.

use image::{DynamicImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, ProfileText, TransformOptions};

/// The name of a profile that is longer is cut.
const NAME_MAX: usize = 60;

/// Pixels in sRGB, and what is to be said of their colours.
pub(super) struct Colours {
    pub(super) pixels: RgbaImage,
    pub(super) note: Option<String>,
}

/// The image in sRGB. `inks` are in the places of red, green, blue and alpha.
pub(super) fn in_srgb(image: DynamicImage, profile: Option<&[u8]>, inks: bool) -> Colours {
    let deep = !matches!(
        image,
        DynamicImage::ImageLuma8(_)
            | DynamicImage::ImageLumaA8(_)
            | DynamicImage::ImageRgb8(_)
            | DynamicImage::ImageRgba8(_)
    );
    let grey = matches!(
        image,
        DynamicImage::ImageLuma8(_)
            | DynamicImage::ImageLumaA8(_)
            | DynamicImage::ImageLuma16(_)
            | DynamicImage::ImageLumaA16(_)
    );
    let converted = profile.map(|bytes| {
        let profile = ColorProfile::new_from_slice(bytes).ok()?;
        let space = profile.color_space;
        let pixels = match (space, inks) {
            (DataColorSpace::Cmyk, true) => of_inks(&image, &profile),
            (DataColorSpace::Rgb, false) => of_rgb(&image, &profile, deep),
            (DataColorSpace::Gray, false) if grey => of_grey(&image, &profile, deep),
            _ => None,
        };
        pixels.map(|pixels| (pixels, name(&profile)))
    });
    let mut notes = Vec::new();
    let pixels = match converted {
        Some(Some((pixels, name))) => {
            if inks {
                notes.push(format!("CMYK of {name} converted to sRGB"));
            } else if !name.to_lowercase().contains("srgb") {
                notes.push(format!("{name} converted to sRGB"));
            }
            pixels
        }
        other => {
            if inks {
                notes.push("CMYK converted to sRGB without a profile".to_owned());
            }
            if other.is_some() {
                notes.push("its colour profile is not understood and ignored".to_owned());
            }
            if inks { printed(image.into_rgba8()) } else { image.into_rgba8() }
        }
    };
    if deep {
        notes.push("reduced to 8 bits".to_owned());
    }
    Colours { pixels, note: (!notes.is_empty()).then(|| notes.join(", ")) }
}

/// The colours that inks leave of white paper.
fn printed(mut inks: RgbaImage) -> RgbaImage {
    for pixel in inks.pixels_mut() {
        let black = 255 - u32::from(pixel.0[3]);
        for ink in &mut pixel.0[..3] {
            *ink = (((255 - u32::from(*ink)) * black + 127) / 255) as u8;
        }
        pixel.0[3] = 255;
    }
    inks
}

fn of_inks(image: &DynamicImage, profile: &ColorProfile) -> Option<RgbaImage> {
    let inks = image.as_rgba8()?;
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let transform =
        profile.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgba, options).ok()?;
    let mut pixels = vec![0; inks.as_raw().len()];
    transform.transform(inks.as_raw(), &mut pixels).ok()?;
    pixels.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = 255);
    RgbaImage::from_raw(inks.width(), inks.height(), pixels)
}

fn of_rgb(image: &DynamicImage, profile: &ColorProfile, deep: bool) -> Option<RgbaImage> {
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let layout = Layout::Rgba;
    if deep {
        let from = image.to_rgba16();
        let mut to = vec![0; from.as_raw().len()];
        let transform = profile.create_transform_16bit(layout, &srgb, layout, options).ok()?;
        transform.transform(from.as_raw(), &mut to).ok()?;
        return reduced(from.dimensions(), &to);
    }
    let from = image.to_rgba8();
    let mut to = vec![0; from.as_raw().len()];
    let transform = profile.create_transform_8bit(layout, &srgb, layout, options).ok()?;
    transform.transform(from.as_raw(), &mut to).ok()?;
    RgbaImage::from_raw(from.width(), from.height(), to)
}

fn of_grey(image: &DynamicImage, profile: &ColorProfile, deep: bool) -> Option<RgbaImage> {
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let (grey, rgb) = (Layout::GrayAlpha, Layout::Rgba);
    if deep {
        let from = image.to_luma_alpha16();
        let mut to = vec![0; 2 * from.as_raw().len()];
        let transform = profile.create_transform_16bit(grey, &srgb, rgb, options).ok()?;
        transform.transform(from.as_raw(), &mut to).ok()?;
        return reduced(from.dimensions(), &to);
    }
    let from = image.to_luma_alpha8();
    let mut to = vec![0; 2 * from.as_raw().len()];
    let transform = profile.create_transform_8bit(grey, &srgb, rgb, options).ok()?;
    transform.transform(from.as_raw(), &mut to).ok()?;
    RgbaImage::from_raw(from.width(), from.height(), to)
}

/// 16 bits as the nearest 8.
fn reduced((width, height): (u32, u32), deep: &[u16]) -> Option<RgbaImage> {
    let pixels = deep.iter().map(|value| ((u32::from(*value) + 128) / 257) as u8).collect();
    RgbaImage::from_raw(width, height, pixels)
}

/// The profile's name for people: what is printable of it.
fn name(profile: &ColorProfile) -> String {
    let text = match &profile.description {
        Some(ProfileText::PlainString(text)) => text.as_str(),
        Some(ProfileText::Localizable(texts)) => texts.first().map_or("", |text| &text.value),
        Some(ProfileText::Description(text)) => &text.ascii_string,
        None => "",
    };
    let plain = text.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect::<String>();
    match plain.trim() {
        "" => "its colour profile".to_owned(),
        name => format!("the profile {name}"),
    }
}
