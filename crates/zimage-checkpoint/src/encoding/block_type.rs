//! GGML's block types: their numbers in GGUF files, names and sizes.
//!
//! Numbers and sizes are those of ggml's `ggml.h` and `ggml-common.h`, and of the package `gguf`
//! 0.19.0 (`GGMLQuantizationType`, `GGML_QUANT_SIZES`).

/// A block type that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockType {
    /// 32 numbers of 4 bits and a scale.
    Q4_0,
    /// 32 numbers of 4 bits, a scale and a minimum.
    Q4_1,
    /// 32 numbers of 5 bits and a scale.
    Q5_0,
    /// 32 numbers of 5 bits, a scale and a minimum.
    Q5_1,
    /// 32 numbers of 8 bits and a scale.
    Q8_0,
    /// 256 numbers of 2 bits with 16 scales and minimums of 4 bits.
    Q2K,
    /// 256 numbers of 3 bits with 16 scales of 6 bits.
    Q3K,
    /// 256 numbers of 4 bits with 8 scales and minimums of 6 bits.
    Q4K,
    /// 256 numbers of 5 bits with 8 scales and minimums of 6 bits.
    Q5K,
    /// 256 numbers of 6 bits with 16 scales of 8 bits.
    Q6K,
    /// 32 numbers of 4 bits from a table of 16, and a scale.
    Iq4Nl,
    /// 256 numbers of 4 bits from the same table with 8 scales of 6 bits.
    Iq4Xs,
}

impl BlockType {
    /// All that are read.
    pub const ALL: [Self; 12] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Iq4Xs,
    ];

    /// Numbers in a block.
    pub const fn numbers(self) -> u64 {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::Iq4Nl => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => 256,
        }
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Iq4Xs => 136,
        }
    }

    /// Its name in llama.cpp.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Iq4Nl => "IQ4_NL",
            Self::Iq4Xs => "IQ4_XS",
        }
    }
}
