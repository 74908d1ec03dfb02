//! Plain numbers, and their names in safetensors headers.

/// The type of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point with the range of `F32`.
    Bf16,
    /// 16-bit floating point.
    F16,
    /// 8-bit floating point with three bits of mantissa, without infinities.
    F8E4m3,
    /// 8-bit floating point with two bits of mantissa.
    F8E5m2,
}

impl Number {
    /// Bytes of one number.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::F8E4m3 | Self::F8E5m2 => 1,
        }
    }

    /// Its name in safetensors headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
            Self::F8E4m3 => "F8_E4M3",
            Self::F8E5m2 => "F8_E5M2",
        }
    }
}
