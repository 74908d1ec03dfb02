//! Operations between matrix products, each eager and fused.
//!
//! Eager is libtorch's operations in the reference's order of rounding; it supports every device and
//! every kind. Fused is one kernel of `zimage-cuda`, which rounds once where the reference rounds after
//! each operation. It needs bfloat16 on an Ampere GPU or a later one, and the widths of the real model;
//! other tensors are computed eagerly.

mod attention;
pub(crate) mod float8;
mod gate;
mod group_norm;
mod heads;
mod layout;
mod maps;
mod norm;
mod wide_attention;

use tch::{Device, Kind, Tensor};
use zimage_cuda::{Kernels, Rows};

use crate::error::Result;
use crate::options::Options;
pub(crate) use attention::{attention, attention_of_batch};
pub(crate) use heads::{Heads, Rotation};
pub(crate) use layout::{
    copy_image, empty_image, from_rows, image_rows, pad_rows, stack_images, standing_alone,
    to_nhwc, to_rows,
};
pub(crate) use maps::{Map, MapShape};
pub(crate) use norm::{RmsNorm, Scale};

/// The implementation of the operations.
#[derive(Clone, Debug)]
pub(crate) enum Ops {
    /// libtorch's operations.
    Eager,
    /// Fused kernels, for the tensors that they support.
    Fused(Kernels),
}

impl Ops {
    /// Fused, if the device, the kind and the options allow it; with sentences for the log if fused
    /// kernels are expected and not available.
    pub(crate) fn choose(options: &Options) -> (Self, Vec<String>) {
        let Device::Cuda(ordinal) = options.device else { return (Self::Eager, Vec::new()) };
        if options.eager || options.dtype.kind() != Kind::BFloat16 {
            return (Self::Eager, Vec::new());
        }
        match zimage_cuda::Gpu::find(ordinal).and_then(|gpu| Kernels::compile(&gpu)) {
            Ok(kernels) => (Self::Fused(kernels), Vec::new()),
            Err(e) => (
                Self::Eager,
                vec![format!("fused kernels are not available, generation is slower: {e}")],
            ),
        }
    }

    /// Rows in the form that a product needs.
    pub(crate) fn rows(&self, x: Tensor, float8: bool) -> Result<Rows> {
        match self {
            _ if !float8 => Ok(Rows::Dense(x)),
            Self::Fused(kernels) if Kernels::gates_rows_of(x.size()[1]) => {
                Ok(Rows::Float8(kernels.float8_rows(&x.f_contiguous()?)?))
            }
            _ => Ok(Rows::Float8(float8::rows(&x)?)),
        }
    }
}
