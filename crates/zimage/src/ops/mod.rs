//! The passes over memory between matrix products, each in two ways that compute the same.
//!
//! The plain way is libtorch's operations in the reference's order of rounding; it runs on every
//! device and for every kind of number. The fused way is one of our kernels, which rounds once
//! where the reference rounds after each operation. It needs bfloat16 on an Ampere GPU or a later
//! one, and the model's real widths; what it does not take goes the plain way.

pub(crate) mod float8;
mod gate;
mod heads;
mod maps;
mod norm;

use tch::{Device, Kind, Tensor};
use zimage_cuda::{Kernels, Rows};

use crate::error::Result;
use crate::options::Options;
pub(crate) use heads::Rotation;
pub(crate) use maps::{Map, from_rows, to_nhwc, to_rows};
pub(crate) use norm::Scale;

/// How the passes are computed.
#[derive(Clone, Debug)]
pub(crate) enum Ops {
    /// By libtorch's operations.
    Plain,
    /// By our kernels, where they can.
    Fused(Kernels),
}

impl Ops {
    /// The fused way if the device and the kind of number allow it and it is wished, and
    /// sentences for the log if it should be there but is not.
    pub(crate) fn choose(options: &Options) -> (Self, Vec<String>) {
        let Device::Cuda(ordinal) = options.device else { return (Self::Plain, Vec::new()) };
        if options.eager || options.dtype.kind() != Kind::BFloat16 {
            return (Self::Plain, Vec::new());
        }
        match zimage_cuda::Gpu::find(ordinal).and_then(|gpu| Kernels::compile(&gpu)) {
            Ok(kernels) => (Self::Fused(kernels), Vec::new()),
            Err(e) => (Self::Plain, vec![format!("generation without own kernels, slower: {e}")]),
        }
    }

    /// Rows as a product takes them.
    pub(crate) fn rows(&self, x: Tensor, float8: bool) -> Result<Rows> {
        match self {
            _ if !float8 => Ok(Rows::Plain(x)),
            Self::Fused(kernels) if Kernels::gates_rows_of(x.size()[1]) => {
                Ok(Rows::Float8(kernels.float8_rows(&x.f_contiguous()?)?))
            }
            _ => Ok(Rows::Float8(float8::rows(&x)?)),
        }
    }
}
