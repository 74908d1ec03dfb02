//! GPU memory that outlives the process: a file descriptor can hold it.
//!
//! `cudaMalloc`'s memory ends with its context. That of `cuMemCreate` ends with its last handle,
//! which may be a file descriptor in another process, one without CUDA too. A later process maps
//! it again in a millisecond, read-only. Drivers that have no such memory (WSL's, old ones) give
//! the other kind, which cannot be held.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

mod mapping;

use std::os::fd::{BorrowedFd, OwnedFd};

use cudarc::driver::{result, sys};
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::context::{self, refused};
use mapping::{Access, Handle};

/// A stretch of a GPU's memory, readable by its kernels, and writable unless it was imported or
/// protected.
///
/// Tensors and copies that use it must have ended before it is dropped; dropping waits for the
/// GPU's work. A tensor used later than that makes the GPU refuse the access and ends its context;
/// it cannot reach other memory.
#[derive(Debug)]
pub struct Memory {
    ordinal: usize,
    address: sys::CUdeviceptr,
    bytes: usize,
    /// Whether it was mapped, and so can be shared; else it ends with the process.
    mapped: bool,
}

impl Memory {
    /// Takes at least `bytes` bytes; what is in them is not defined.
    ///
    /// # Errors
    /// [`Error::NoRoom`], or when the driver gives no memory.
    pub fn new(ordinal: usize, bytes: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let bytes = bytes.max(1);
        if mapping::is_offered(ordinal)? {
            let bytes = bytes.next_multiple_of(mapping::granularity(ordinal)?);
            match Handle::create(ordinal, bytes) {
                Ok(handle) => return Self::mapped(ordinal, &handle, bytes, Access::ReadWrite),
                // Said to be offered, but not here: a container or a virtual GPU may forbid it.
                Err(Error::Driver { code, .. }) if mapping::is_a_no(code) => {}
                Err(error) => return Err(error),
            }
        }
        // SAFETY: nothing uses the memory before the address is known.
        let address = unsafe { result::malloc_sync(bytes) };
        let address = address.map_err(mapping::no_room("cuMemAlloc", bytes))?;
        Ok(Self { ordinal, address, bytes, mapped: false })
    }

    /// Maps the memory that another process took for as many bytes, and shared, for reading only: a
    /// kernel that writes there is refused, and ends this process's context and not the memory.
    ///
    /// # Errors
    /// When the descriptor holds no such memory, or fewer bytes.
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
        // The mapping keeps the memory; the handle may go.
        let address = mapping::map(ordinal, handle, bytes, access)?;
        Ok(Self { ordinal, address, bytes, mapped: true })
    }

    /// A descriptor that holds the memory beyond this process, whoever has it; none if this
    /// driver's memory cannot be held.
    ///
    /// # Errors
    /// When the driver refuses although it offers it.
    pub fn share(&self) -> Result<Option<OwnedFd>, Error> {
        if !self.mapped {
            return Ok(None);
        }
        context::make_current(self.ordinal)?;
        Handle::of(self.address)?.export().map(Some)
    }

    /// Makes it readable only, from here on, once everything is written. An error leaves it as it
    /// was.
    ///
    /// # Errors
    /// When the driver does not do that, or the memory is of the other kind.
    pub fn protect(&self) -> Result<(), Error> {
        if !self.mapped {
            return Err(Error::Misuse("only mapped memory can be protected"));
        }
        context::make_current(self.ordinal)?;
        result::ctx::synchronize().map_err(refused("cuCtxSynchronize"))?;
        mapping::allow(self.ordinal, self.address, self.bytes, Access::Read)
    }

    /// The number of its GPU.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Where it begins, in the GPU's addresses.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// How many bytes it has: those asked for, rounded up.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of it as a tensor of bytes, `[bytes]`. libtorch_cuda must be loaded.
    ///
    /// # Errors
    /// When libtorch does not take the memory.
    pub fn tensor(&self) -> Result<Tensor, Error> {
        let device = Device::Cuda(self.ordinal);
        let size = [i64::try_from(self.bytes).unwrap_or(i64::MAX)];
        // SAFETY: `bytes` bytes are mapped at the address; the type's documentation says what a
        // tensor that outlives them does.
        Ok(unsafe {
            Tensor::f_from_blob(self.address as *const u8, &size, &[1], Kind::Uint8, device)
        }?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // After an error on the GPU these fail; then the process is about to end, and its memory
        // with it.
        if context::make_current(self.ordinal).is_ok() && result::ctx::synchronize().is_ok() {
            if self.mapped {
                mapping::unmap(self.address, self.bytes);
            } else {
                // SAFETY: the memory is ours, and the GPU has come to rest.
                let _ = unsafe { result::free_sync(self.address) };
            }
        }
    }
}
