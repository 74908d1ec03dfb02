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
        /// Whether the text encoder's and the context refiner's stay.
        text_encoder: bool,
        /// Slots of the ring that the others are copied to, each for a block's attention or its
        /// feed-forward; at least [`LEAST_SLOTS`].
        slots: u32,
    },
}

/// One slot is computed with while the other is filled.
pub const LEAST_SLOTS: u32 = 2;

impl Residency {
    /// A part, with as few slots as work.
    pub const fn part(denoising_blocks: u32, text_encoder: bool) -> Self {
        Self::Part { denoising_blocks, text_encoder, slots: LEAST_SLOTS }
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
