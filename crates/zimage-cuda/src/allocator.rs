//! libtorch's caching allocator on a GPU: statistics, and emptying its cache.

#![expect(unsafe_code, reason = "calls into our C++ shim")]

use std::ffi::c_int;

use crate::error::Error;
use crate::health::free_memory;

unsafe extern "C" {
    fn zimg_allocator_empty_cache() -> c_int;
    fn zimg_allocator_stats(device: c_int, bytes: *mut u64) -> c_int;
    fn zimg_allocator_reset_peak(device: c_int) -> c_int;
    fn zimg_allocator_limit(device: c_int, fraction: f64) -> c_int;
}

/// libtorch's memory on one GPU, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Bytes of tensors.
    pub now: u64,
    /// The peak of that since [`reset_peak`].
    pub peak: u64,
    /// Bytes that the allocator holds, cache included.
    pub held: u64,
}

/// Returns the memory in libtorch's cache to the driver.
///
/// # Errors
/// When libtorch refuses, which it does after a fault of the GPU.
pub fn empty_cache() -> Result<(), Error> {
    // SAFETY: it takes no arguments, catches exceptions, and frees only memory without tensors.
    checked(unsafe { zimg_allocator_empty_cache() })
}

/// The allocator's statistics.
///
/// # Errors
/// When libtorch has no such GPU.
pub fn allocated(ordinal: usize) -> Result<Allocated, Error> {
    let mut bytes = [0; 3];
    // SAFETY: the function writes three numbers, and the array holds three; exceptions are caught.
    checked(unsafe { zimg_allocator_stats(number(ordinal), bytes.as_mut_ptr()) })?;
    let [now, peak, held] = bytes;
    Ok(Allocated { now, peak, held })
}

/// Resets the peak to the current value.
///
/// # Errors
/// When libtorch has no such GPU.
pub fn reset_peak(ordinal: usize) -> Result<(), Error> {
    // SAFETY: the argument is a number; exceptions are caught.
    checked(unsafe { zimg_allocator_reset_peak(number(ordinal)) })
}

/// Limits what the allocator holds, cache included, to so many bytes: beyond that it first gives back its
/// cache, then fails. libtorch must have used the GPU before.
///
/// # Errors
/// When libtorch has no such GPU, or has not used it, or the driver fails.
pub fn limit(ordinal: usize, bytes: u64) -> Result<(), Error> {
    let total = free_memory(ordinal)?.total.max(1);
    let fraction = (bytes as f64 / total as f64).min(1.0);
    // SAFETY: both arguments are numbers; exceptions are caught, and the class is that of the libtorch
    // that the build is for.
    checked(unsafe { zimg_allocator_limit(number(ordinal), fraction) })
}

fn number(ordinal: usize) -> c_int {
    c_int::try_from(ordinal).unwrap_or(c_int::MAX)
}

fn checked(code: c_int) -> Result<(), Error> {
    if code == 0 {
        Ok(())
    } else {
        Err(Error::InvalidArguments("libtorch has no allocator for this GPU"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cuda_it_is_an_error_and_no_exception() {
        assert!(empty_cache().is_err());
        assert!(allocated(0).is_err() && allocated(usize::MAX).is_err());
        assert!(reset_peak(0).is_err());
        assert!(limit(0, 1).is_err());
    }
}
