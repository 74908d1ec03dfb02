//! The mock worker's images, so that a test can say what must come.
//!
//! Its latents are a number that each step turns into another, in a way that can be turned back;
//! decoding turns all of an image's steps back. So an image has the colour of its seed if each
//! step was done once and on the latents of the step before, and another colour if not.

/// Odd, so that multiplying by it can be undone.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The latents after step `step` (from 1).
pub fn stepped(latents: u64, step: u32) -> u64 {
    latents.wrapping_mul(FACTOR).wrapping_add(step.into()).rotate_left(23)
}

/// An image's colour, given its latents after `steps` steps.
pub fn decoded(latents: u64, steps: u32) -> [u8; 3] {
    let mut inverse = FACTOR;
    // Newton's iteration: each round doubles the number of bits that are right.
    for _ in 0..6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(FACTOR.wrapping_mul(inverse)));
    }
    let mut seed = latents;
    for step in (1..=steps).rev() {
        seed = seed.rotate_right(23).wrapping_sub(step.into()).wrapping_mul(inverse);
    }
    colour(seed)
}

/// The colour of the image with this seed: the seed's last three bytes.
pub fn colour(seed: u64) -> [u8; 3] {
    let [.., red, green, blue] = seed.to_be_bytes();
    [red, green, blue]
}

/// What the mock generates from an initial image: in each pixel the bits of the colour are flipped
/// that the mask has there, all of them without a mask. Each byte that was sent counts.
pub fn coloured(initial: &[u8], mask: Option<&[u8]>, colour: [u8; 3]) -> Vec<u8> {
    let pixels = initial.chunks(3).enumerate();
    let flipped = pixels.flat_map(|(at, pixel)| {
        let may_change = mask.map_or(0xff, |mask| mask[at]);
        pixel.iter().zip(colour).map(move |(byte, bits)| byte ^ (bits & may_change))
    });
    flipped.collect()
}

/// A number that looks like chance and is the same each time.
pub fn chance(of: u64) -> u64 {
    let mut mixed = of.wrapping_add(FACTOR);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_of_an_initial_image_and_of_a_mask_counts() {
        let initial = [1, 2, 3, 4, 5, 6];
        let whole = coloured(&initial, None, [0xff, 0x0f, 0]);
        assert_eq!(whole, [0xfe, 0x0d, 3, 0xfb, 0x0a, 6]);
        let masked = coloured(&initial, Some(&[0, 0xff]), [0xff, 0x0f, 0]);
        assert_eq!(masked, [1, 2, 3, 0xfb, 0x0a, 6]);
    }

    fn generated(seed: u64, steps: &[u32], of: u32) -> [u8; 3] {
        decoded(steps.iter().fold(seed, |latents, step| stepped(latents, *step)), of)
    }

    #[test]
    fn only_each_step_once_and_in_order_gives_the_seeds_colour() {
        assert_eq!(generated(0x01_0203, &[1, 2, 3, 4], 4), [1, 2, 3]);
        assert_eq!(generated(u64::MAX - 7, &[1], 1), colour(u64::MAX - 7));
        for wrong in [&[1, 2, 3][..], &[1, 2, 2, 3, 4], &[1, 3, 2, 4], &[2, 3, 4], &[]] {
            assert_ne!(generated(0x01_0203, wrong, 4), [1, 2, 3], "{wrong:?}");
        }
    }
}
