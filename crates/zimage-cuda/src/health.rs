//! Whether a GPU still works in this process, and how much of its memory is free.

use cudarc::driver::result;
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::context::{make_current, refused, synchronize};

/// Numbers that the probe adds up: a mebibyte.
const NUMBERS: i64 = 1 << 18;

/// A GPU's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What nobody uses.
    pub free: u64,
    /// What there is.
    pub total: u64,
}

/// Asks the driver for a GPU's free memory.
///
/// # Errors
/// When the driver refuses, which it does after a fault of the GPU.
pub fn room(ordinal: usize) -> Result<Room, Error> {
    make_current(ordinal)?;
    let (free, total) = result::mem_get_info().map_err(refused("cuMemGetInfo"))?;
    Ok(Room { free: free as u64, total: total as u64 })
}

/// Lets the GPU do a little work: takes a mebibyte, adds it up, waits for it. After a fault that
/// only a new process cures, all of this fails.
///
/// # Errors
/// When the GPU fails at it or adds up wrongly.
pub fn probe(ordinal: usize) -> Result<(), Error> {
    synchronize(ordinal)?;
    room(ordinal)?;
    let ones = Tensor::f_ones([NUMBERS], (Kind::Float, Device::Cuda(ordinal)))?;
    let sum = ones.f_sum(Kind::Float)?.f_double_value(&[])?;
    synchronize(ordinal)?;
    if sum == NUMBERS as f64 { Ok(()) } else { Err(Error::Wrong(sum, NUMBERS)) }
}
