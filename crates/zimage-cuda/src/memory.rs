//! GPU memory that can outlive the process, through a file descriptor.
//!
//! Memory of `cudaMalloc` ends with its context. Memory of `cuMemCreate` ends with its last handle,
//! which may be a file descriptor in another process, even one without CUDA. A later process maps it
//! again in a millisecond, read-only. Drivers without this kind of memory (WSL's, old ones) allocate
//! with `cudaMalloc`, and the memory cannot be shared.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

mod mapping;

use std::os::fd::{BorrowedFd, OwnedFd};

use cudarc::driver::{result, sys};
use tch::{Device, Kind, Tensor};

use crate::context::{self, refused};
use crate::error::Error;
use mapping::{Access, Handle};

/// An allocation of a GPU's memory, readable by kernels, and writable unless it is imported or
/// protected.
///
/// Tensors and copies that use it must end before it is dropped; dropping waits for the GPU's work. A
/// later access of a tensor is an illegal access, which ends the context; it cannot reach other
/// memory.
#[derive(Debug)]
pub struct Memory {
    ordinal: usize,
    address: sys::CUdeviceptr,
    bytes: usize,
    /// Whether it is mapped memory, which can be shared; otherwise it ends with the process.
    mapped: bool,
}

impl Memory {
    /// Allocates at least `bytes` bytes; their content is undefined.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or when the driver fails.
    pub fn new(ordinal: usize, bytes: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let bytes = bytes.max(1);
        if mapping::is_supported(ordinal)? {
            let bytes = bytes.next_multiple_of(mapping::granularity(ordinal)?);
            match Handle::create(ordinal, bytes) {
                Ok(handle) => return Self::mapped(ordinal, &handle, bytes, Access::ReadWrite),
                // Reported as supported, but a container or a virtual GPU may forbid it.
                Err(Error::Driver { code, .. }) if mapping::is_unsupported(code) => {}
                Err(error) => return Err(error),
            }
        }
        // SAFETY: no code can use the memory before the address is returned.
        let address = unsafe { result::malloc_sync(bytes) };
        let address = address.map_err(mapping::allocation_failed("cuMemAlloc", bytes))?;
        Ok(Self { ordinal, address, bytes, mapped: false })
    }

    /// Maps memory of `bytes` bytes that another process allocated and shared, read-only: a kernel that
    /// writes to it causes an illegal access, which ends this process's context but not the memory.
    ///
    /// # Errors
    /// When the descriptor is of something else, or of fewer bytes.
    pub fn import(ordinal: usize, shared: BorrowedFd<'_>, bytes: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let bytes = bytes.max(1).next_multiple_of(mapping::granularity(ordinal)?);
        Self::mapped(ordinal, &Handle::import(shared)?, bytes, Access::Read)
    }

    fn mapped(
        ordinal: usize,
        handle: &Handle,
        bytes: usize,
        access: Access,
    ) -> Result<Self, Error> {
        // The mapping keeps the memory alive; the handle is not needed.
        let address = mapping::map(ordinal, handle, bytes, access)?;
        Ok(Self { ordinal, address, bytes, mapped: true })
    }

    /// A descriptor that keeps the memory alive, in any process; `None` if the driver has no such
    /// memory.
    ///
    /// # Errors
    /// When the driver fails although it supports it.
    pub fn share(&self) -> Result<Option<OwnedFd>, Error> {
        if !self.mapped {
            return Ok(None);
        }
        context::make_current(self.ordinal)?;
        Handle::of(self.address)?.export().map(Some)
    }

    /// Makes the memory read-only, once everything is written. After an error it is unchanged.
    ///
    /// # Errors
    /// When the driver does not support it, or the memory is not mapped.
    pub fn protect(&self) -> Result<(), Error> {
        if !self.mapped {
            return Err(Error::InvalidArguments("only mapped memory can be protected"));
        }
        context::make_current(self.ordinal)?;
        result::ctx::synchronize().map_err(refused("cuCtxSynchronize"))?;
        mapping::allow(self.ordinal, self.address, self.bytes, Access::Read)
    }

    /// The ordinal of its GPU.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Its address on the GPU.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Its length in bytes: the requested one, rounded up.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A tensor over all bytes: `[bytes]`, Uint8. libtorch_cuda must be loaded.
    ///
    /// # Errors
    /// When libtorch rejects the memory.
    pub fn tensor(&self) -> Result<Tensor, Error> {
        let device = Device::Cuda(self.ordinal);
        let size = [i64::try_from(self.bytes).unwrap_or(i64::MAX)];
        // SAFETY: `bytes` bytes are mapped at the address; the type's documentation states what
        // happens when a tensor outlives them.
        Ok(unsafe {
            Tensor::f_from_blob(self.address as *const u8, &size, &[1], Kind::Uint8, device)
        }?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // After an error of the GPU these calls fail; the memory then ends with the process.
        if context::make_current(self.ordinal).is_ok() && result::ctx::synchronize().is_ok() {
            if self.mapped {
                mapping::unmap(self.address, self.bytes);
            } else {
                // SAFETY: this value owns the memory, and the GPU is idle.
                let _ = unsafe { result::free_sync(self.address) };
            }
        }
    }
}
