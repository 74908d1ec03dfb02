//! The GPU's primary context, which libtorch's runtime uses too, made current on a thread.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use cudarc::driver::result;

use crate::Error;

/// Makes the primary context of `cuda:{ordinal}` current on this thread.
///
/// It is retained once a call and never released: it lives as long as the process.
pub(crate) fn make_current(ordinal: usize) -> Result<(), Error> {
    let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
    let failed = |call| move |e| Error::driver(call, e);
    result::init().map_err(failed("cuInit"))?;
    let device = result::device::get(ordinal).map_err(failed("cuDeviceGet"))?;
    // SAFETY: the device was just got from the driver.
    let context = unsafe { result::primary_ctx::retain(device) }
        .map_err(failed("cuDevicePrimaryCtxRetain"))?;
    // SAFETY: the context is retained and stays so.
    unsafe { result::ctx::set_current(context) }.map_err(failed("cuCtxSetCurrent"))
}
