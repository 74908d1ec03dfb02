//! Residency: which weights stay on the device, and how images are decoded there.

use super::part::BlockPart;

/// Which parts of blocks stay on the device; the others are streamed from their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// All.
    #[default]
    All,
    /// A part.
    Part {
        /// So many of the parts of the blocks of a denoising step (noise refiner and main layers),
        /// spread evenly between the streamed ones, so that copies never pause.
        denoising_parts: u32,
        /// So many of the parts of the blocks that a new prompt needs (the text encoder's layers and
        /// the context refiner), spread as well.
        text_parts: u32,
        /// Slots of the ring that the others are copied to, each for a [`BlockPart`]; at least
        /// [`LEAST_SLOTS`].
        slots: u32,
    },
}

/// One slot is computed with while the other is filled.
pub const LEAST_SLOTS: u32 = 2;

impl Residency {
    /// As many parts as so many blocks have, with all of the text encoder or nothing of it, and as few
    /// slots as work.
    pub const fn part(denoising_blocks: u32, text_encoder: bool) -> Self {
        let text_parts = if text_encoder { u32::MAX } else { 0 };
        let denoising_parts = denoising_blocks.saturating_mul(BlockPart::ALL.len() as u32);
        Self::Part { denoising_parts, text_parts, slots: LEAST_SLOTS }
    }
}

/// How images are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// At once.
    Whole,
    /// In strips, with less memory.
    Strips,
}
