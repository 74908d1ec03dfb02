//! A fault for tests to plant: only in builds with the feature `faults`.

#![expect(unsafe_code, reason = "does what must not be done")]

use tch::{Device, Kind, Tensor};

use crate::{Error, synchronize};

/// Has a kernel write to an address that nobody has: the GPU refuses it, and from then on
/// everything else that this process asks of it.
///
/// # Errors
/// Always, with the driver's word for it.
pub fn write_to_nowhere(ordinal: usize) -> Result<(), Error> {
    /// Far from everything, and whole pages.
    const NOWHERE: usize = 0x7_dead_0000_0000;
    let device = Device::Cuda(ordinal);
    // SAFETY: it is not: that is what it is for. Only the GPU's context is harmed, not this
    // process's memory.
    let mut nowhere = unsafe {
        Tensor::f_from_blob(NOWHERE as *const u8, &[1 << 20], &[1], Kind::Float, device)
    }?;
    let _ = nowhere.f_fill_(1.0)?;
    synchronize(ordinal)
}
