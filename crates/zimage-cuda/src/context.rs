//! The driver's library, and the primary context of a GPU, which libtorch uses, too.
//!
//! cudarc loads libcuda in its first call, and panics without one; so every use of the driver goes
//! through [`load`].

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use std::ffi::c_int;
use std::sync::{Mutex, OnceLock, PoisonError};

use cudarc::driver::{DriverError, result, sys};
use libloading::Library;

use crate::error::Error;

/// Loads the driver's library, once.
pub(crate) fn load() -> Result<(), Error> {
    static PRESENT: OnceLock<Result<(), String>> = OnceLock::new();
    let present = PRESENT.get_or_init(|| {
        // SAFETY: libcuda's initialisers only prepare the driver's own state.
        unsafe { Library::new("libcuda.so.1") }.map_err(|e| e.to_string())?;
        // SAFETY: the same library.
        let found = unsafe { sys::is_culib_present() };
        found.then_some(()).ok_or_else(|| "it exists, but cudarc does not find it".to_owned())
    });
    present.clone().map_err(Error::NoDriver)
}

/// Loads and initialises the driver; creates no context.
fn driver() -> Result<(), Error> {
    load()?;
    result::init().map_err(refused("cuInit"))
}

/// The driver's handle of a GPU.
pub(crate) fn device(ordinal: usize) -> Result<sys::CUdevice, Error> {
    driver()?;
    let count = result::device::get_count().map_err(refused("cuDeviceGetCount"))?;
    let count = usize::try_from(count).unwrap_or(0);
    if ordinal >= count {
        return Err(Error::NoSuchGpu { asked: ordinal, count });
    }
    let ordinal = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
    result::device::get(ordinal).map_err(refused("cuDeviceGet"))
}

/// Makes the primary context of a GPU current on this thread; the first call creates it (0.3 s).
///
/// It is never released: it lives as long as the process, as libtorch's does.
///
/// # Errors
/// When there is no driver, no such GPU, or no memory for a context.
pub fn make_current(ordinal: usize) -> Result<(), Error> {
    /// Ordinals and the addresses of their contexts; locked while one is created, so that each is
    /// created once.
    static CONTEXTS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());
    let device = device(ordinal)?;
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = contexts.iter().find(|(number, _)| *number == ordinal);
    let context = match known {
        Some(&(_, context)) => context as sys::CUcontext,
        None => {
            // SAFETY: the driver returned the device.
            let context = unsafe { result::primary_ctx::retain(device) }
                .map_err(refused("cuDevicePrimaryCtxRetain"))?;
            contexts.push((ordinal, context as usize));
            context
        }
    };
    // SAFETY: the context was retained and is never released.
    unsafe { result::ctx::set_current(context) }.map_err(refused("cuCtxSetCurrent"))
}

/// Waits until a GPU has finished all work of this process.
///
/// # Errors
/// When any of the work failed.
pub fn synchronize(ordinal: usize) -> Result<(), Error> {
    make_current(ordinal)?;
    result::ctx::synchronize().map_err(refused("cuCtxSynchronize"))
}

/// The error of a failed call of the driver.
pub(crate) fn refused(call: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::driver(call, error)
}
