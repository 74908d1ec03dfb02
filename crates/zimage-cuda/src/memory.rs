//! GPU memory that could outlive the process: made so that a file descriptor can hold it.
//!
//! `cudaMalloc`'s memory ends with its context. That of `cuMemCreate` ends with its last handle,
//! which may be a file descriptor in another process.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use cudarc::driver::{result, sys};
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::context::{self, refused};

/// A stretch of a GPU's memory, readable and writable by its kernels.
///
/// Tensors and copies that use it must have ended before it is dropped; dropping waits for the
/// GPU's work. A tensor used later than that makes the GPU refuse the access and ends its context;
/// it cannot reach other memory.
#[derive(Debug)]
pub struct Memory {
    ordinal: usize,
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl Memory {
    /// Takes at least `bytes` bytes; what is in them is not defined.
    ///
    /// # Errors
    /// [`Error::NoRoom`], or when the driver cannot give memory of this kind.
    pub fn new(ordinal: usize, bytes: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let location = sys::CUmemLocation {
            type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
            id: i32::try_from(ordinal).unwrap_or(i32::MAX),
        };
        let kind = sys::CUmemAllocationProp {
            type_: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
            requestedHandleTypes:
                sys::CUmemAllocationHandleType_enum::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
            location,
            win32HandleMetaData: std::ptr::null_mut(),
            allocFlags: sys::CUmemAllocationProp_st__bindgen_ty_1 {
                compressionType: 0,
                gpuDirectRDMACapable: 0,
                usage: 0,
                reserved: [0; 4],
            },
        };
        let bytes = bytes.max(1).next_multiple_of(granularity(&kind)?);
        let mut handle = 0;
        // SAFETY: both pointers are to values that outlive the call.
        let made = unsafe { sys::cuMemCreate(&raw mut handle, bytes, &raw const kind, 0) };
        if made == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            let (free, _) = result::mem_get_info().map_err(refused("cuMemGetInfo"))?;
            return Err(Error::NoRoom { bytes, free });
        }
        made.result().map_err(refused("cuMemCreate"))?;
        let mapped = map(handle, bytes, location);
        // SAFETY: the handle is ours and is not used again. A mapping keeps the memory; without
        // one it is given back here.
        let released = unsafe { sys::cuMemRelease(handle) }.result();
        let memory = Self { ordinal, address: mapped?, bytes };
        released.map_err(refused("cuMemRelease"))?;
        Ok(memory)
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
            // SAFETY: address and length are those of the mapping, and the GPU has come to rest.
            unsafe {
                let _ = sys::cuMemUnmap(self.address, self.bytes);
                let _ = sys::cuMemAddressFree(self.address, self.bytes);
            }
        }
    }
}

fn granularity(kind: &sys::CUmemAllocationProp) -> Result<usize, Error> {
    let which = sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_RECOMMENDED;
    let mut bytes = 0;
    // SAFETY: both pointers are to values that outlive the call.
    unsafe { sys::cuMemGetAllocationGranularity(&raw mut bytes, kind, which) }
        .result()
        .map_err(refused("cuMemGetAllocationGranularity"))?;
    Ok(bytes.max(1))
}

/// Gives the memory an address and lets the GPU's kernels read and write there.
fn map(
    handle: sys::CUmemGenericAllocationHandle,
    bytes: usize,
    location: sys::CUmemLocation,
) -> Result<sys::CUdeviceptr, Error> {
    let mut address = 0;
    // SAFETY: the pointer is to a value that outlives the call.
    unsafe { sys::cuMemAddressReserve(&raw mut address, bytes, 0, 0, 0) }
        .result()
        .map_err(refused("cuMemAddressReserve"))?;
    let access = sys::CUmemAccessDesc {
        location,
        flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
    };
    // SAFETY: address and length are those just reserved, the handle has as many bytes.
    let mapped = unsafe { sys::cuMemMap(address, bytes, 0, handle, 0) }.result();
    let allowed = mapped.map_err(refused("cuMemMap")).and_then(|()| {
        // SAFETY: the same, and mapped.
        unsafe { sys::cuMemSetAccess(address, bytes, &raw const access, 1) }
            .result()
            .map_err(refused("cuMemSetAccess"))
    });
    if let Err(error) = allowed {
        // SAFETY: as above; unmapping what is not mapped is refused and changes nothing.
        unsafe {
            let _ = sys::cuMemUnmap(address, bytes);
            let _ = sys::cuMemAddressFree(address, bytes);
        }
        return Err(error);
    }
    Ok(address)
}
