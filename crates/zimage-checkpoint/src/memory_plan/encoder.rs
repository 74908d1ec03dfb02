//! The encoder's footprint: the memory that encoding an initial image takes at its peak, whole and in
//! strips, from the configuration alone.

use super::decoder::{MapShape, StripRule, middle, numbers, resnets, strip};
use crate::config::VaeConfig;

/// Bytes that encoding takes beside the weights, at the most; without what a library takes for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderFootprint {
    /// Encoding at once.
    pub whole: u64,
    /// Encoding in strips: the same latents.
    pub in_strips: u64,
}

impl EncoderFootprint {
    /// The footprint for an image of `height` and `width` pixels, with `bytes` for each number.
    pub fn of(config: &VaeConfig, (height, width): (u32, u32), bytes: u64) -> Self {
        let cut = StripRule::USUAL;
        let mut shape = MapShape {
            channels: config.block_out_channels.first().copied().unwrap_or_default(),
            h: height.into(),
            w: width.into(),
        };
        let (mut whole, mut in_strips) = (0, 0);
        let mut levels = config.block_out_channels.iter().copied().peekable();
        while let Some(channels) = levels.next() {
            let out = MapShape { channels, ..shape };
            let half = MapShape { channels, h: out.h / 2, w: out.w / 2 };
            // The last level is not halved. A strip of the map that is halved is less than one of a block.
            let halved = if levels.peek().is_some() { numbers(half) } else { 0 };
            let at_once = resnets(shape, out).max(numbers(out) + halved);
            whole = whole.max(at_once);
            in_strips = in_strips.max(if cut.is_in_strips(out.positions()) {
                let input = if channels == shape.channels { 0 } else { numbers(shape) };
                numbers(out) + strip(shape, out, cut) + input.max(halved)
            } else {
                at_once
            });
            shape = if levels.peek().is_some() { half } else { out };
        }
        let middle = middle(shape, config.mid_block_add_attention);
        // Bytes, float32 and numbers of the networks' kind of the image itself.
        let pixels = u64::from(height) * u64::from(width) * 3 * (1 + 4 + 4 + bytes);
        let of = |numbers: i64| {
            let numbers = numbers.max(middle).max(0).cast_unsigned();
            numbers.saturating_mul(bytes).saturating_add(pixels)
        };
        Self { whole: of(whole), in_strips: of(in_strips) }
    }

    /// The same with what libraries and the allocator's rounding take beside the maps, in the shares of the
    /// decoder's: those of the encoder were not measured.
    #[must_use]
    pub fn with_libraries(self) -> Self {
        let Self { whole, in_strips } = self;
        Self {
            whole: whole.saturating_add(whole / 8),
            in_strips: in_strips.saturating_add(in_strips / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoder::DecoderFootprint;
    use super::super::decoder::tests::flux;
    use super::*;

    #[test]
    fn an_image_that_can_be_decoded_in_strips_can_be_encoded_so_up_to_a_tenth() {
        for size in [(64, 64), (512, 512), (1024, 1024), (1024, 1536), (2048, 512), (2048, 2048)] {
            let (encoder, decoder) =
                (EncoderFootprint::of(&flux(), size, 2), DecoderFootprint::of(&flux(), size, 2));
            assert!(encoder.in_strips <= encoder.whole, "{size:?}: {encoder:?}");
            let most = decoder.in_strips / 10 * 11;
            assert!(encoder.in_strips <= most, "{size:?}: {encoder:?}, {decoder:?}");
        }
    }

    /// By hand: three maps of 128 channels of bfloat16 at 1024², and 33 bytes for each pixel.
    #[test]
    fn the_whole_is_three_maps_of_the_first_level() {
        let whole = EncoderFootprint::of(&flux(), (1024, 1024), 2).whole;
        assert_eq!(whole, (3 * 128 * 2 + 33) << 20);
    }
}
