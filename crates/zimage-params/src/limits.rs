//! Limits of generation parameters.

/// The longest prompt, and the longest negative prompt, in bytes of UTF-8. The model's own limit
/// is in tokens and lower.
pub const PROMPT_BYTES: usize = 64 << 10;
/// The shortest side of an image, in pixels.
pub const SIZE_MIN: u32 = 64;
/// The longest side of an image, in pixels.
pub const SIZE_MAX: u32 = 2048;
/// Both sides are multiples of this many pixels.
pub const SIZE_MULTIPLE: u32 = 16;
/// The most denoising steps.
pub const STEPS_MAX: u32 = 100;
/// The most images in one request.
pub const COUNT_MAX: u32 = 256;
/// The longest record of a request's images, in bytes of UTF-8.
pub const RECORD_BYTES: usize = 4 << 10;
/// The longest name of a ControlNet, in bytes of UTF-8.
pub const CONTROL_NET_BYTES: usize = 255;
/// The highest scale of a ControlNet.
pub const CONTROL_SCALE_MAX: f32 = 2.0;
/// The highest guidance, and the highest guidance normalization.
pub const GUIDANCE_MAX: f32 = 100.0;

/// The highest factor of a second pass.
pub const HIRES_MAX: f32 = 4.0;
/// The strength of a second pass where none is given: half of Turbo's 8 steps. Less leaves the blur of the
/// enlargement, more changes what is seen.
pub const HIRES_STRENGTH: f32 = 0.5;
/// The most noise of variety, as InvokeAI has it: above 1 little is left of the prompt.
pub const VARIETY_MAX: f32 = 2.0;

/// The strength where none is given, of a request with an initial image: as diffusers'
/// `ZImageImg2ImgPipeline` and `ZImageInpaintPipeline` have it.
pub const fn default_strength(has_mask: bool) -> f32 {
    if has_mask { 1.0 } else { 0.6 }
}

/// Whether an image may have a side of this many pixels.
pub const fn side_fits(pixels: u32) -> bool {
    SIZE_MIN <= pixels && pixels <= SIZE_MAX && pixels.is_multiple_of(SIZE_MULTIPLE)
}

/// The valid side nearest to `pixels`; of two that are equally near, the longer one.
pub const fn nearest_side(pixels: u32) -> u32 {
    let pixels = if pixels < SIZE_MIN {
        SIZE_MIN
    } else if pixels > SIZE_MAX {
        SIZE_MAX
    } else {
        pixels
    };
    (pixels + SIZE_MULTIPLE / 2) / SIZE_MULTIPLE * SIZE_MULTIPLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_side_fits_and_is_nearest() {
        for (pixels, nearest) in
            [(0, 64), (64, 64), (71, 64), (72, 80), (1000, 1008), (2047, 2048), (u32::MAX, 2048)]
        {
            assert_eq!(nearest_side(pixels), nearest, "{pixels}");
            assert!(side_fits(nearest));
        }
        assert!(!side_fits(0) && !side_fits(65) && !side_fits(2064));
    }
}
