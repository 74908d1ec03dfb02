//! A tensor in a file: its number format, shape and place.

use std::fmt;

use safetensors::tensor::Dtype;

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    /// Its number format.
    pub dtype: StorageType,
    /// Its dimensions.
    pub shape: Vec<i64>,
    /// The offset of its first byte in the file.
    pub offset: u64,
    /// Its length in bytes; all of them are within the file.
    pub bytes: u64,
}

impl StoredTensor {
    /// How many numbers it has.
    pub fn numbers(&self) -> u64 {
        self.shape.iter().map(|&side| side as u64).product()
    }
}

/// The number format of a tensor in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point with the range of `F32`.
    Bf16,
    /// 16-bit floating point.
    F16,
    /// A format that is recognised but not read.
    Unsupported(UnsupportedType),
}

/// A number format that is recognised but not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedType(Dtype);

impl StorageType {
    /// Bytes of one number, if the format is one that is read.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::F32 => Some(4),
            Self::Bf16 | Self::F16 => Some(2),
            Self::Unsupported(_) => None,
        }
    }
}

impl From<Dtype> for StorageType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::BF16 => Self::Bf16,
            Dtype::F16 => Self::F16,
            other => Self::Unsupported(UnsupportedType(other)),
        }
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("F32"),
            Self::Bf16 => f.write_str("BF16"),
            Self::F16 => f.write_str("F16"),
            Self::Unsupported(UnsupportedType(dtype)) => dtype.fmt(f),
        }
    }
}
