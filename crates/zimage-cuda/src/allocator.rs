//! libtorch's memory on a GPU: how much there is, and giving back what it keeps for later.

#![expect(unsafe_code, reason = "calls into our C++ shim")]

use std::ffi::c_int;

use crate::Error;

unsafe extern "C" {
    fn zimg_allocator_give_back() -> c_int;
    fn zimg_allocator_stats(device: c_int, bytes: *mut u64) -> c_int;
    fn zimg_allocator_reset_peak(device: c_int) -> c_int;
}

/// libtorch's memory on one GPU, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// What tensors have.
    pub now: u64,
    /// The most that they had since [`watch_peak`].
    pub peak: u64,
    /// What is held for them, now or for later.
    pub held: u64,
}

/// Gives the memory that libtorch keeps for later tensors back to the driver.
///
/// # Errors
/// When libtorch refuses, which it does after a fault of the GPU.
pub fn give_back_cache() -> Result<(), Error> {
    // SAFETY: it takes nothing, catches exceptions, and frees only what no tensor has.
    done(unsafe { zimg_allocator_give_back() })
}

/// How much memory libtorch has.
///
/// # Errors
/// When libtorch knows no such GPU.
pub fn allocated(ordinal: usize) -> Result<Allocated, Error> {
    let mut bytes = [0; 3];
    // SAFETY: three numbers are written, and there is room for them; exceptions are caught.
    done(unsafe { zimg_allocator_stats(number(ordinal), bytes.as_mut_ptr()) })?;
    let [now, peak, held] = bytes;
    Ok(Allocated { now, peak, held })
}

/// Counts the peak anew from now.
///
/// # Errors
/// When libtorch knows no such GPU.
pub fn watch_peak(ordinal: usize) -> Result<(), Error> {
    // SAFETY: it takes a number and catches exceptions.
    done(unsafe { zimg_allocator_reset_peak(number(ordinal)) })
}

fn number(ordinal: usize) -> c_int {
    c_int::try_from(ordinal).unwrap_or(c_int::MAX)
}

fn done(code: c_int) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(Error::Misuse("libtorch has no memory on this GPU")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cuda_it_is_an_error_and_no_exception() {
        assert!(give_back_cache().is_err());
        assert!(allocated(0).is_err() && allocated(usize::MAX).is_err());
        assert!(watch_peak(0).is_err());
    }
}
