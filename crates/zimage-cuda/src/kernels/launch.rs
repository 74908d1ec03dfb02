//! Kernel launches on libtorch's stream, in order with libtorch's own.

#![expect(unsafe_code, reason = "a launch hands raw addresses to the GPU")]

use std::ffi::{c_int, c_void};

use cudarc::driver::result;
use cudarc::driver::sys::CUstream;
use tch::{Kind, Tensor};

use super::Kernel;
use crate::error::Error;
use crate::libtorch;

/// Returns libtorch's current stream: `AOTITorchError aoti_torch_get_current_cuda_stream(
/// int32_t device, void **stream)` of its C interface.
type CurrentStream = unsafe extern "C" fn(c_int, *mut *mut c_void) -> c_int;

/// libtorch's current stream on a GPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    ordinal: c_int,
    current: CurrentStream,
}

/// One argument of a kernel: an address or a number of four bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument(u64);

impl Stream {
    pub(crate) fn of(ordinal: usize) -> Result<Self, Error> {
        // SAFETY: the type is that of torch/csrc/inductor/aoti_torch/c/shim.h.
        let current = unsafe { libtorch::symbol("aoti_torch_get_current_cuda_stream") }?;
        Ok(Self { ordinal: c_int::try_from(ordinal).unwrap_or(c_int::MAX), current })
    }

    /// The stream itself.
    pub(crate) fn now(&self) -> Result<CUstream, Error> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: see `CurrentStream`; the stream is written.
        let code = unsafe { (self.current)(self.ordinal, &raw mut stream) };
        if code == 0 {
            Ok(stream.cast())
        } else {
            Err(Error::InvalidArguments("libtorch has no stream"))
        }
    }

    /// Launches `kernel` with `grid` blocks of `threads` threads.
    ///
    /// # Safety
    /// The arguments have the kernel's number and types; the addresses are of memory that it may read
    /// and write, and the tensors live until libtorch's stream has passed the launch (libtorch's
    /// allocator guarantees that for its own tensors).
    pub(super) unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: (i64, i64),
        threads: i64,
        arguments: &[Argument],
    ) -> Result<(), Error> {
        // SAFETY: as required of the caller.
        unsafe { launch_on(self.now()?, kernel, grid, threads, arguments) }
    }
}

/// Launches `kernel` on `stream` with `grid` blocks of `threads` threads.
///
/// # Safety
/// As [`Stream::launch`], for this stream.
pub(super) unsafe fn launch_on(
    stream: CUstream,
    kernel: Kernel,
    grid: (i64, i64),
    threads: i64,
    arguments: &[Argument],
) -> Result<(), Error> {
    let size =
        |n: i64| u32::try_from(n).map_err(|_| Error::InvalidArguments("a launch is too large"));
    let (x, y, threads) = (size(grid.0)?, size(grid.1)?, size(threads)?);
    if x == 0 || y == 0 {
        return Ok(());
    }
    let mut addresses: Vec<*mut c_void> =
        arguments.iter().map(|a| (&raw const a.0).cast_mut().cast()).collect();
    // SAFETY: as required of the caller; the driver copies the arguments before it returns, and
    // reads of each the bytes of the kernel's type (at most eight, little-endian).
    unsafe {
        result::launch_kernel(kernel.0, (x, y, 1), (threads, 1, 1), 0, stream, &mut addresses)
    }
    .map_err(|e| Error::driver("cuLaunchKernel", e))
}

impl Argument {
    /// An address of the GPU's memory, or 0 for none.
    pub(super) fn address(address: u64) -> Self {
        Self(address)
    }

    /// A C `unsigned long long`.
    pub(super) fn wide(number: i64) -> Self {
        Self(number.cast_unsigned())
    }
}

impl From<&Tensor> for Argument {
    fn from(tensor: &Tensor) -> Self {
        Self(tensor.data_ptr() as u64)
    }
}

impl From<Option<&Tensor>> for Argument {
    fn from(tensor: Option<&Tensor>) -> Self {
        tensor.map_or(Self(0), Self::from)
    }
}

impl From<i64> for Argument {
    /// A C `int`; callers pass dimensions, which fit.
    fn from(number: i64) -> Self {
        Self(u64::from((number as i32).cast_unsigned()))
    }
}

impl From<f64> for Argument {
    /// A C `float`.
    fn from(number: f64) -> Self {
        Self(u64::from((number as f32).to_bits()))
    }
}

/// Checks a tensor before a kernel reads it: on a GPU, of this kind and shape, contiguous, and at an
/// address aligned for vector loads.
pub(super) fn expect(tensor: &Tensor, kind: Kind, shape: &[i64]) -> Result<(), Error> {
    let valid = tensor.device().is_cuda()
        && tensor.f_kind().is_ok_and(|found| found == kind)
        && tensor.size() == shape
        && tensor.is_contiguous()
        && (tensor.data_ptr() as usize).is_multiple_of(16);
    if valid {
        Ok(())
    } else {
        Err(Error::InvalidArguments(
            "a tensor has the wrong device, kind, shape or alignment for a kernel",
        ))
    }
}
