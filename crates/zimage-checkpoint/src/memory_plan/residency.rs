//! Residency: which weights stay on the device, and how images are decoded there.

/// Which blocks' matrices stay on the device; the others are streamed from their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// All.
    #[default]
    All,
    /// A part.
    Part {
        /// So many of the blocks of a denoising step (noise refiner and main layers), spread evenly
        /// between the streamed ones, so that copies never pause.
        denoising_blocks: u32,
        /// So many of the blocks that a new prompt needs (the text encoder's layers and the context
        /// refiner), spread as well.
        text_blocks: u32,
        /// Slots of the ring that the others are copied to, each for a block's attention or its
        /// feed-forward; at least [`LEAST_SLOTS`].
        slots: u32,
    },
}

/// One slot is computed with while the other is filled.
pub const LEAST_SLOTS: u32 = 2;

impl Residency {
    /// A part, with all of the text encoder or nothing of it, and as few slots as work.
    pub const fn part(denoising_blocks: u32, text_encoder: bool) -> Self {
        let text_blocks = if text_encoder { u32::MAX } else { 0 };
        Self::Part { denoising_blocks, text_blocks, slots: LEAST_SLOTS }
    }
}

/// Whether block `number` of `count` is streamed, where so many of them stay: these are spread evenly.
pub fn is_streamed(number: usize, count: usize, resident: u32) -> bool {
    let streamed = count.saturating_sub(resident as usize);
    (number + 1) * streamed / count.max(1) > number * streamed / count.max(1)
}

/// How images are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// At once.
    Whole,
    /// In strips, with less memory.
    Strips,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_blocks_lie_between_streamed_ones() {
        let streamed = |count: usize, resident| -> Vec<usize> {
            (0..count).filter(|&i| is_streamed(i, count, resident)).collect()
        };
        assert!(streamed(4, 4).is_empty() && streamed(4, 9).is_empty());
        assert!(streamed(4, u32::MAX).is_empty() && streamed(0, 0).is_empty());
        assert_eq!(streamed(4, 0), [0, 1, 2, 3]);
        assert_eq!(streamed(6, 3), [1, 3, 5]);
        assert_eq!(streamed(8, 6), [3, 7]);
        for resident in 0..=32 {
            let chosen = streamed(32, resident);
            assert_eq!(chosen.len() as u32, 32 - resident);
            let gaps: Vec<usize> = chosen.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let extremes = gaps.iter().min().zip(gaps.iter().max());
            assert!(extremes.is_none_or(|(least, most)| most - least <= 1), "{chosen:?}");
        }
    }
}
