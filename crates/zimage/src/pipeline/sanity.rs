//! Sanity checks: whether the device still works, and whether latents are numbers.

use tch::{Device, Tensor};

use crate::error::{Error, Result};
use crate::image::all_finite;

/// Runs a small computation on the device. After a fault of a GPU that only a new process cures,
/// that fails too.
pub(super) fn probe(device: Device) -> Result<()> {
    match device {
        Device::Cuda(ordinal) => Ok(zimage_cuda::probe(ordinal)?),
        _ => Ok(()),
    }
}

/// Refuses latents that hold NaN or infinity.
pub(super) fn check_finite(latents: &Tensor) -> Result<()> {
    if all_finite(latents)? { Ok(()) } else { Err(Error::NotFinite("the latents")) }
}
