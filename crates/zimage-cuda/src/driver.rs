//! Device queries: what the NVIDIA driver reports about a GPU.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use cudarc::driver::{result, sys};

use crate::context::{self, refused};
use crate::error::Error;

/// A GPU as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its ordinal among the visible ones, from 0.
    pub ordinal: usize,
    /// The vendor's name for it.
    pub name: String,
    /// Compute capability: (9, 0) for Hopper.
    pub capability: (i32, i32),
    /// The UUID of the GPU, or of the slice of one: `GPU-` and sixteen bytes.
    pub uuid: String,
}

/// The driver's version, as the kernel tells it; else the version of CUDA that it supports.
pub fn driver_version() -> String {
    let told = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let first = told.lines().next().unwrap_or_default();
    if let Some(version) = first.split_whitespace().find(is_version) {
        return version.to_owned();
    }
    let mut version = 0;
    let known = context::load().is_ok() && {
        // SAFETY: the driver writes one number.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().is_ok()
    };
    if known { format!("CUDA {version}") } else { "unknown".to_owned() }
}

impl Gpu {
    /// Whether its tensor cores support bfloat16 (Ampere and later).
    pub fn has_bfloat16(&self) -> bool {
        self.capability >= (8, 0)
    }

    /// Asks the driver; creates no context.
    ///
    /// # Errors
    /// When there is no driver or no such GPU.
    pub fn find(ordinal: usize) -> Result<Self, Error> {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
        };
        let device = context::device(ordinal)?;
        let attribute = |which| {
            // SAFETY: the driver returned the device.
            let value = unsafe { result::device::get_attribute(device, which) };
            value.map_err(refused("cuDeviceGetAttribute"))
        };
        let capability = (attribute(MAJOR)?, attribute(MINOR)?);
        let name = result::device::get_name(device).map_err(refused("cuDeviceGetName"))?;
        let uuid = result::device::get_uuid(device).map_err(refused("cuDeviceGetUuid"))?;
        let uuid: String = uuid.bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect();
        Ok(Self { ordinal, name, capability, uuid: format!("GPU-{uuid}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_came_with_ampere() {
        let gpu =
            |capability| Gpu { ordinal: 0, name: "GPU".into(), capability, uuid: "GPU-00".into() };
        assert!(gpu((8, 0)).has_bfloat16() && gpu((9, 0)).has_bfloat16());
        assert!(!gpu((7, 5)).has_bfloat16());
    }
}
