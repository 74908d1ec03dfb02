//! The driver, and the primary context of a GPU, which is libtorch's too.
//!
//! cudarc loads libcuda when the first of its functions is called, and panics without one; so
//! every way to the driver leads through [`load`].

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use std::ffi::c_int;
use std::sync::{Mutex, OnceLock, PoisonError};

use cudarc::driver::{DriverError, result, sys};
use libloading::Library;

use crate::Error;

/// Loads the driver's library, once.
pub(crate) fn load() -> Result<(), Error> {
    static PRESENT: OnceLock<Result<(), String>> = OnceLock::new();
    let present = PRESENT.get_or_init(|| {
        // SAFETY: libcuda's initialisers only prepare the driver's own state.
        unsafe { Library::new("libcuda.so.1") }.map_err(|e| e.to_string())?;
        // SAFETY: the same library.
        let found = unsafe { sys::is_culib_present() };
        found.then_some(()).ok_or_else(|| "it is there, but cudarc does not find it".to_owned())
    });
    present.clone().map_err(Error::NoDriver)
}

/// Loads and initialises the driver; creates no context.
fn driver() -> Result<(), Error> {
    load()?;
    result::init().map_err(refused("cuInit"))
}

/// The GPU of this number.
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
    /// Ordinals and their contexts' addresses; locked while one is made, so that it is made once.
    static CONTEXTS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());
    let device = device(ordinal)?;
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = contexts.iter().find(|(number, _)| *number == ordinal);
    let context = match known {
        Some(&(_, context)) => context as sys::CUcontext,
        None => {
            // SAFETY: the device is one that the driver named.
            let context = unsafe { result::primary_ctx::retain(device) }
                .map_err(refused("cuDevicePrimaryCtxRetain"))?;
            contexts.push((ordinal, context as usize));
            context
        }
    };
    // SAFETY: the context was retained and is never released.
    unsafe { result::ctx::set_current(context) }.map_err(refused("cuCtxSetCurrent"))
}

/// Waits until a GPU has done all it was asked for, by anybody in this process.
///
/// # Errors
/// When the GPU failed at any of it.
pub fn synchronize(ordinal: usize) -> Result<(), Error> {
    make_current(ordinal)?;
    result::ctx::synchronize().map_err(refused("cuCtxSynchronize"))
}

/// What a failed call of the driver is called.
pub(crate) fn refused(call: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::driver(call, error)
}
