//! A few questions to the NVIDIA driver (libcuda.so.1, loaded when asked).

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use std::ffi::{CStr, c_char, c_int, c_uint};

use libloading::{Library, Symbol};

use crate::Error;

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`, `…_MINOR` of cuda.h.
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

/// A GPU as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number among those visible, from 0.
    pub ordinal: usize,
    /// The vendor's name for it.
    pub name: String,
    /// Compute capability: (9, 0) for Hopper.
    pub capability: (i32, i32),
}

impl Gpu {
    /// Whether its tensor cores take bfloat16 (Ampere and later).
    pub fn has_bfloat16(&self) -> bool {
        self.capability >= (8, 0)
    }

    /// Asks the driver; creates no context.
    ///
    /// # Errors
    /// When there is no driver or no such GPU.
    pub fn find(ordinal: usize) -> Result<Self, Error> {
        // SAFETY: libcuda's initialisers only prepare the driver's own state.
        let library = unsafe { Library::new("libcuda.so.1") };
        let driver = Driver(library.map_err(|e| Error::NoDriver(e.to_string()))?);
        driver.init()?;
        let count = driver.count()?;
        if ordinal >= count {
            return Err(Error::NoSuchGpu { asked: ordinal, count });
        }
        let device = driver.device(ordinal)?;
        let capability = (
            driver.attribute(device, CAPABILITY_MAJOR)?,
            driver.attribute(device, CAPABILITY_MINOR)?,
        );
        Ok(Self { ordinal, name: driver.name(device)?, capability })
    }
}

/// The loaded libcuda.
struct Driver(Library);

impl Driver {
    fn init(&self) -> Result<(), Error> {
        // SAFETY: `CUresult cuInit(unsigned int flags)`; flags must be 0.
        let code = unsafe { self.symbol::<unsafe extern "C" fn(c_uint) -> c_int>("cuInit")?(0) };
        check("cuInit", code)
    }

    fn count(&self) -> Result<usize, Error> {
        let mut count = 0;
        // SAFETY: `CUresult cuDeviceGetCount(int *count)`.
        let code = unsafe {
            self.symbol::<unsafe extern "C" fn(*mut c_int) -> c_int>("cuDeviceGetCount")?(
                &mut count,
            )
        };
        check("cuDeviceGetCount", code)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    fn device(&self, ordinal: usize) -> Result<c_int, Error> {
        let mut device = 0;
        let ordinal = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        // SAFETY: `CUresult cuDeviceGet(CUdevice *device, int ordinal)`; CUdevice is an int.
        let code = unsafe {
            self.symbol::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>("cuDeviceGet")?(
                &mut device,
                ordinal,
            )
        };
        check("cuDeviceGet", code)?;
        Ok(device)
    }

    fn attribute(&self, device: c_int, attribute: c_int) -> Result<i32, Error> {
        let mut value = 0;
        // SAFETY: `CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute, CUdevice)`.
        let code = unsafe {
            self.symbol::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int>(
                "cuDeviceGetAttribute",
            )?(&mut value, attribute, device)
        };
        check("cuDeviceGetAttribute", code)?;
        Ok(value)
    }

    fn name(&self, device: c_int) -> Result<String, Error> {
        let mut name: [c_char; 128] = [0; 128];
        let room = c_int::try_from(name.len() - 1).unwrap_or(0);
        // SAFETY: `CUresult cuDeviceGetName(char *name, int len, CUdevice)`; the last byte stays
        // 0, so the text ends inside the array.
        let code = unsafe {
            self.symbol::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(
                "cuDeviceGetName",
            )?(name.as_mut_ptr(), room, device)
        };
        check("cuDeviceGetName", code)?;
        // SAFETY: the array holds a 0, see above.
        Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
    }

    /// # Safety
    /// `F` must be the type of the driver's function of this name.
    unsafe fn symbol<F>(&self, name: &'static str) -> Result<Symbol<'_, F>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.0.get(name.as_bytes()) }.map_err(|e| Error::NoDriver(e.to_string()))
    }
}

fn check(call: &'static str, code: c_int) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(Error::Driver { call, code }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_came_with_ampere() {
        let gpu = |capability| Gpu { ordinal: 0, name: "GPU".into(), capability };
        assert!(gpu((8, 0)).has_bfloat16() && gpu((9, 0)).has_bfloat16());
        assert!(!gpu((7, 5)).has_bfloat16());
    }
}
