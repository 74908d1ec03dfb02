//! The number format that the networks compute in.

use std::fmt;
use std::str::FromStr;

use tch::Kind;

use crate::error::Error;

/// The number format of weights and matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32 bits: the reference on a CPU.
    Float32,
    /// 16 bits with the range of float32: the format that the model was trained in.
    BFloat16,
    /// 16 bits for GPUs without bfloat16; products that would overflow are scaled; the residual
    /// stream and the VAE stay in float32.
    Float16,
    /// bfloat16, but the transformer's large products in 8 bits with a scale for each row: faster
    /// on Ada, Hopper and later, and images change (`docs/performance.md`).
    Float8,
    /// bfloat16, but the matrices of the transformer's blocks as 8-bit integers with a scale for each
    /// row, rotated (ConvRot), which are expanded before each product: half of the memory.
    Int8,
    /// The same with float16 instead of bfloat16.
    Int8Float16,
}

impl DType {
    /// The kind of text encoder and transformer weights.
    pub fn kind(self) -> Kind {
        match self {
            Self::Float32 => Kind::Float,
            Self::BFloat16 | Self::Float8 | Self::Int8 => Kind::BFloat16,
            Self::Float16 | Self::Int8Float16 => Kind::Half,
        }
    }

    /// Whether matrices of the transformer's blocks are 8-bit integers.
    pub fn is_int8(self) -> bool {
        matches!(self, Self::Int8 | Self::Int8Float16)
    }

    /// The kind of VAE weights: its activations overflow float16.
    pub fn vae_kind(self) -> Kind {
        if self.kind() == Kind::Half { Kind::Float } else { self.kind() }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Float16 => "float16",
            Self::Float8 => "float8",
            Self::Int8 => "int8",
            Self::Int8Float16 => "int8 (float16)",
        })
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "float32" => Ok(Self::Float32),
            "bfloat16" => Ok(Self::BFloat16),
            "float16" => Ok(Self::Float16),
            "float8" => Ok(Self::Float8),
            "int8" => Ok(Self::Int8),
            _ => Err(Error::Refused(format!(
                "dtype must be float32, bfloat16, float16, float8 or int8, not '{name}'"
            ))),
        }
    }
}
