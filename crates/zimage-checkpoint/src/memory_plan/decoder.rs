//! The decoder's footprint: the memory that decoding takes at its peak, whole and in strips, from the
//! configuration alone.

use crate::config::VaeConfig;

/// Which feature maps are decoded in strips, and how high these are: it depends on the map's size
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripRule {
    /// Positions of the smallest map that is cut.
    pub from: i64,
    /// Positions that are convolved at a time at least.
    pub least: i64,
    /// Parts at most, of more positions.
    pub most: i64,
    /// Rows by which a strip is lower than what is convolved at a time: two convolutions and a strip that
    /// begins within a row reach so far beside it.
    pub beside: i64,
}

/// The size of a feature map.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapShape {
    pub(super) channels: i64,
    pub(super) h: i64,
    pub(super) w: i64,
}

/// Bytes that decoding takes beside the weights, at the most; without what a library takes for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderFootprint {
    /// Decoding at once.
    pub whole: u64,
    /// Decoding in strips: the same image.
    pub in_strips: u64,
}

/// What is allocated at once, in numbers of the decoder's kind.
#[derive(Clone, Copy, Debug)]
struct Peak {
    whole: i64,
    in_strips: i64,
}

impl StripRule {
    /// From 512² positions on a map has tens of megabytes, and a 32nd of it is little beside what is
    /// stored.
    ///
    /// A power of two of positions, 32,768 or more, keeps a GPU busy in whole rounds of its processors.
    /// With some other numbers cuDNN splits the sums of the last round, so that a row's bits depend on
    /// its place: measured on an H200 with 512 channels at 34,816 and 36,864 positions, and never at
    /// powers of two.
    pub const USUAL: Self = Self { from: 1 << 18, least: 1 << 15, most: 32, beside: 4 };

    /// Whether a map of so many positions is cut.
    pub fn is_in_strips(self, positions: i64) -> bool {
        positions >= self.from
    }

    /// How many rows of a map of this size a convolution computes at a time.
    pub fn at_a_time(self, h: i64, w: i64) -> i64 {
        let share = h * w / self.most;
        let power = if share > 0 { 1 << share.ilog2() } else { 0 };
        (self.least.max(power) / w.max(1)).max(1)
    }

    /// How many strips such a map has.
    pub fn count(self, h: i64, w: i64) -> i64 {
        let rows = (self.at_a_time(h, w) - self.beside).max(1);
        ((h + rows - 1) / rows).max(1)
    }
}

/// Queries at a time of the decoder's attention over so many positions: enough for a GPU, and 256 MiB
/// of scores in float32 from an image of 1024² on.
pub fn queries_at_a_time(positions: i64) -> i64 {
    const SCORES: i64 = 1 << 26;
    (SCORES / positions.max(1) / 128 * 128).clamp(128, 4096)
}

impl MapShape {
    pub(super) fn positions(self) -> i64 {
        self.h * self.w
    }
}

impl DecoderFootprint {
    /// The footprint for an image of `height` and `width` pixels, with `bytes` for each number: 2 for
    /// the fused kernels.
    pub fn of(config: &VaeConfig, (height, width): (u32, u32), bytes: u64) -> Self {
        let Peak { whole, in_strips } =
            peak(config, (i64::from(height), i64::from(width)), StripRule::USUAL);
        let rgb = 3 * u64::from(height) * u64::from(width);
        let of =
            |numbers: i64| numbers.max(0).cast_unsigned().saturating_mul(bytes).saturating_add(rgb);
        Self { whole: of(whole), in_strips: of(in_strips) }
    }

    /// The same with what libraries and the allocator's rounding take beside the maps: 1.53 GB of 1.38 at
    /// once at 1024² (H200, the driver's view, the daemon's allocator settings, by which steps and the
    /// decoder share memory). Of strips only the maps were measured.
    #[must_use]
    pub fn with_libraries(self) -> Self {
        let Self { whole, in_strips } = self;
        Self {
            whole: whole.saturating_add(whole / 8),
            in_strips: in_strips.saturating_add(in_strips / 4),
        }
    }
}

fn peak(config: &VaeConfig, (height, width): (i64, i64), cut: StripRule) -> Peak {
    let scale = config.scale();
    let mut channels = config.block_out_channels.iter().rev().copied();
    let first = channels.clone().next().unwrap_or_default();
    let mut shape = MapShape { channels: first, h: height / scale, w: width / scale };
    let middle = middle(shape, config.mid_block_add_attention);
    let mut peak = Peak { whole: middle, in_strips: middle };
    // The first level has the middle's size.
    let mut level = channels.next();
    let mut is_doubled = false;
    while let Some(outputs) = level {
        let before = if is_doubled { numbers(shape) } else { 0 };
        if is_doubled {
            shape = MapShape { h: 2 * shape.h, w: 2 * shape.w, ..shape };
        }
        let out = MapShape { channels: outputs, ..shape };
        let doubling =
            if is_doubled { (before + numbers(shape)).max(2 * numbers(shape)) } else { 0 };
        let whole = doubling.max(resnets(shape, out));
        peak.whole = peak.whole.max(whole);
        let in_strips = if cut.is_in_strips(out.positions()) {
            let input = if is_doubled { before } else { numbers(shape) };
            input + numbers(out) + strip(shape, out, cut)
        } else {
            whole
        };
        peak.in_strips = peak.in_strips.max(in_strips);
        (shape, is_doubled) = (out, true);
        level = channels.next();
    }
    // The last norm and convolution, whose eight outputs are at most what a residual block takes.
    peak.whole = peak.whole.max(2 * numbers(shape) + 8 * shape.positions());
    peak
}

pub(super) fn numbers(shape: MapShape) -> i64 {
    shape.channels * shape.positions()
}

/// The residual blocks and the attention of the middle. Scores are float32 and in the decoder's kind,
/// of which they are three numbers' room at two bytes.
pub(super) fn middle(shape: MapShape, has_attention: bool) -> i64 {
    let positions = shape.positions();
    let scores = 3 * queries_at_a_time(positions).min(positions) * positions;
    // The input, queries, keys, values, the parts of the result and their sum.
    let attention = if has_attention { 6 * numbers(shape) + scores } else { 0 };
    attention.max(3 * numbers(shape))
}

/// The residual blocks of a level, whole: input, shortcut, the last convolution's output, and the sum.
pub(super) fn resnets(input: MapShape, output: MapShape) -> i64 {
    let (input_size, output_size) = (numbers(input), numbers(output));
    let shortcut = if input.channels == output.channels { 0 } else { output_size };
    let first = (input_size + output_size).max(2 * output_size + shortcut);
    (input_size + first).max(3 * output_size)
}

/// What one strip takes at the most: the upsampled input and its convolution beside a strip of output,
/// or the steps of a residual block.
pub(super) fn strip(input: MapShape, output: MapShape, cut: StripRule) -> i64 {
    /// Rows beside a strip that its two convolutions reach, and those of the upsampled map.
    const HALO: i64 = 6;
    let count = cut.count(output.h, output.w).max(1);
    let rows = ((output.h + count - 1) / count + HALO).min(output.h);
    let channels = (2 * input.channels + output.channels).max(4 * output.channels);
    channels * rows * output.w
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn flux() -> VaeConfig {
        VaeConfig {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 16,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            mid_block_add_attention: true,
            scaling_factor: 0.3611,
            shift_factor: 0.1159,
            force_upcast: true,
            sample_size: 1024,
        }
    }

    #[test]
    fn strips_take_half_a_gibibyte_at_1024_and_less_than_two_at_2048() {
        const MIB: u64 = 1 << 20;
        for (size, most) in [
            ((512, 512), 320),
            ((1024, 1024), 512),
            ((1536, 1024), 768),
            ((1024, 1536), 768),
            ((512, 2048), 512),
            ((2048, 512), 512),
            ((2048, 2048), 2048),
        ] {
            let footprint = DecoderFootprint::of(&flux(), size, 2);
            let mib = footprint.in_strips / MIB;
            assert!(mib <= most, "{size:?}: {mib} MiB of {most}");
            assert!(footprint.in_strips <= footprint.whole, "{size:?}: {footprint:?}");
        }
    }

    #[test]
    fn the_whole_takes_as_much_as_was_measured() {
        // torch's peak on an H100 at 1024²: 1.4 GB.
        let whole = DecoderFootprint::of(&flux(), (1024, 1024), 2).whole;
        assert!((1_300_000_000..1_500_000_000).contains(&whole), "{whole}");
        let larger = DecoderFootprint::of(&flux(), (2048, 2048), 2).whole;
        assert!((4 * whole - larger) * 100 < larger, "{larger}");
    }
}
