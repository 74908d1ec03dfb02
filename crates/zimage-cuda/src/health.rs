//! Health of a GPU in this process: a self-test, and free memory.

use cudarc::driver::result;
use tch::{Device, Kind, Tensor};

use crate::context::{make_current, refused, synchronize};
use crate::error::Error;

/// Numbers that the self-test adds: a mebibyte.
const NUMBERS: i64 = 1 << 18;

/// A GPU's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeMemory {
    /// Free.
    pub free: u64,
    /// Installed.
    pub total: u64,
}

/// Queries a GPU's free memory.
///
/// # Errors
/// When the driver fails, which it does after a fault of the GPU.
pub fn free_memory(ordinal: usize) -> Result<FreeMemory, Error> {
    make_current(ordinal)?;
    let (free, total) = result::mem_get_info().map_err(refused("cuMemGetInfo"))?;
    Ok(FreeMemory { free: free as u64, total: total as u64 })
}

/// Runs a self-test: allocates a mebibyte of ones, adds them, waits for the sum. It fails after a
/// fault that only a new process clears.
///
/// # Errors
/// When the GPU fails, or the sum is wrong.
pub fn probe(ordinal: usize) -> Result<(), Error> {
    synchronize(ordinal)?;
    free_memory(ordinal)?;
    let ones = Tensor::f_ones([NUMBERS], (Kind::Float, Device::Cuda(ordinal)))?;
    let sum = ones.f_sum(Kind::Float)?.f_double_value(&[])?;
    synchronize(ordinal)?;
    if sum == NUMBERS as f64 {
        Ok(())
    } else {
        Err(Error::SelfTest { found: sum, expected: NUMBERS })
    }
}
