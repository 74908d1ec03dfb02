//! Oracle of images to start from: files of all kinds, decoded in this process.

use zimg_image::{InputFit, InputMargins, InputRequest, InputSize, MaskChoice, read_input_within};
use zimg_protocol::limits::side_fits;

use super::most_held;

/// The most pixels of a file: an input of some bytes may have millions, and is slow then.
const PIXELS_MAX: u64 = 1 << 18;
/// What decoding may hold: the largest canvas in all its forms.
const HELD_MAX: usize = 512 << 20;

/// A file becomes pixels of a size that the model takes, or is refused in one sentence. The first four
/// bytes say what is asked; with a mask, two say how long its file is, which follows them.
pub fn decode(bytes: &[u8]) -> bool {
    let Some((asked, rest)) = bytes.split_first_chunk() else { return false };
    let request = request(*asked);
    let (mask, initial) = match request.mask {
        MaskChoice::File | MaskChoice::FileAlpha => {
            let Some((length, rest)) = rest.split_first_chunk() else { return false };
            let length = usize::from(u16::from_le_bytes(*length));
            let Some((mask, initial)) = rest.split_at_checked(length) else { return false };
            (Some(mask), initial)
        }
        _ => (None, rest),
    };
    let (read, held) = most_held(|| read_input_within(initial, mask, &request, PIXELS_MAX));
    assert!(held <= HELD_MAX, "{held} bytes were held for {request:?}");
    match read {
        Ok(images) => {
            let pixels = images.width as usize * images.height as usize;
            assert!(side_fits(images.width) && side_fits(images.height), "{images:?}");
            assert_eq!(images.rgb.len(), 3 * pixels);
            assert!(images.mask.as_ref().is_none_or(|mask| mask.len() == pixels));
            assert!(!images.done.is_empty() && !images.done.contains('\n'), "{}", images.done);
            if let InputSize::Exact(width, height) = request.size {
                assert_eq!((images.width, images.height), (width, height));
            }
            true
        }
        Err(error) => {
            let sentence = error.fault.to_string();
            assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}");
            assert!(sentence.len() < 4096, "{sentence}");
            false
        }
    }
}

fn request([choices, size, margins, mask]: [u8; 4]) -> InputRequest {
    let margin = |shift: u8| 24 * u32::from(margins >> shift & 3);
    InputRequest {
        size: match size {
            0 => InputSize::OfImage,
            1..128 => {
                InputSize::Exact(64 + 16 * u32::from(size % 16), 64 + 16 * u32::from(size / 16))
            }
            _ => InputSize::Shape {
                aspect: (size & 1 == 1).then_some(f64::from(size - 100) / 60.0),
                pixels: (size & 2 == 2).then_some(f64::from(size) * 512.0),
            },
        },
        fit: [InputFit::Crop, InputFit::Pad, InputFit::Stretch][usize::from(choices % 3)],
        margins: InputMargins {
            left: margin(0),
            top: margin(2),
            right: margin(4),
            bottom: margin(6),
        },
        mask: [
            MaskChoice::TransparentParts,
            MaskChoice::Alpha,
            MaskChoice::File,
            MaskChoice::FileAlpha,
            MaskChoice::None,
        ][usize::from(choices / 3 % 5)],
        invert_mask: mask & 1 == 1,
        mask_blur: f32::from(mask >> 1) / 4.0,
    }
}
