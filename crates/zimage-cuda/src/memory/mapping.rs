//! Handles and mappings of the driver's memory: a handle owns bytes, a mapping gives them an address.
//! The caller provides a current context.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use cudarc::driver::{DriverError, result, sys};

use crate::context::{self, refused};
use crate::error::Error;

const POSIX: sys::CUmemAllocationHandleType =
    sys::CUmemAllocationHandleType_enum::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

/// The access that kernels have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
}

/// Memory without an address.
#[derive(Debug)]
pub(super) struct Handle(sys::CUmemGenericAllocationHandle);

impl Handle {
    /// Allocates `bytes` bytes, a multiple of the granularity.
    pub(super) fn create(ordinal: usize, bytes: usize) -> Result<Self, Error> {
        let (mut handle, kind) = (0, kind(ordinal));
        // SAFETY: both pointers are to values that outlive the call.
        unsafe { sys::cuMemCreate(&raw mut handle, bytes, &raw const kind, 0) }
            .result()
            .map_err(allocation_failed("cuMemCreate", bytes))?;
        Ok(Self(handle))
    }

    /// The memory of a descriptor, which is not needed afterwards.
    pub(super) fn import(shared: BorrowedFd<'_>) -> Result<Self, Error> {
        let mut handle = 0;
        let number = shared.as_raw_fd() as usize as *mut c_void;
        // SAFETY: the first pointer is to a value that outlives the call; for this kind of handle
        // the second is the descriptor's number and not a pointer.
        unsafe { sys::cuMemImportFromShareableHandle(&raw mut handle, number, POSIX) }
            .result()
            .map_err(refused("cuMemImportFromShareableHandle"))?;
        Ok(Self(handle))
    }

    /// The memory that is mapped at an address.
    pub(super) fn of(address: sys::CUdeviceptr) -> Result<Self, Error> {
        let mut handle = 0;
        // SAFETY: the first pointer is to a value that outlives the call; the driver looks the
        // address up in its own tables.
        unsafe { sys::cuMemRetainAllocationHandle(&raw mut handle, address as *mut c_void) }
            .result()
            .map_err(refused("cuMemRetainAllocationHandle"))?;
        Ok(Self(handle))
    }

    /// A descriptor of the memory, closed on exec.
    pub(super) fn export(&self) -> Result<OwnedFd, Error> {
        let mut number: RawFd = -1;
        // SAFETY: for this kind of handle the driver writes an `int`, which outlives the call.
        unsafe {
            sys::cuMemExportToShareableHandle((&raw mut number).cast::<c_void>(), self.0, POSIX, 0)
        }
        .result()
        .map_err(refused("cuMemExportToShareableHandle"))?;
        // SAFETY: the driver created the descriptor for this call.
        let exported = unsafe { OwnedFd::from_raw_fd(number) };
        // The duplicate is closed on exec; the driver's flag is not specified.
        exported.try_clone().map_err(|_| Error::InvalidArguments("too many open files"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: this value owns the handle; mappings keep the memory alive.
        let _ = unsafe { sys::cuMemRelease(self.0) };
    }
}

/// Whether the driver reports support for memory that descriptors can share.
pub(super) fn is_supported(ordinal: usize) -> Result<bool, Error> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED as SHARED,
        CU_DEVICE_ATTRIBUTE_VIRTUAL_ADDRESS_MANAGEMENT_SUPPORTED as MAPPED,
    };
    let device = context::device(ordinal)?;
    let has = |which| {
        // SAFETY: the driver returned the device. A driver that does not know the attribute has no
        // such memory.
        unsafe { result::device::get_attribute(device, which) }.is_ok_and(|value| value != 0)
    };
    Ok(has(MAPPED) && has(SHARED))
}

/// Whether a code means that this kind of memory is unsupported, and not that a call failed.
pub(super) fn is_unsupported(code: i32) -> bool {
    use sys::CUresult::{CUDA_ERROR_NOT_PERMITTED, CUDA_ERROR_NOT_SUPPORTED};
    [CUDA_ERROR_NOT_PERMITTED as i32, CUDA_ERROR_NOT_SUPPORTED as i32].contains(&code)
}

/// The error of a failed allocation of `bytes` bytes.
pub(super) fn allocation_failed(call: &'static str, bytes: usize) -> impl Fn(DriverError) -> Error {
    move |error| match (error.0, result::mem_get_info()) {
        (sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY, Ok((free, _))) => {
            Error::OutOfMemory { bytes, free }
        }
        _ => refused(call)(error),
    }
}

/// The granularity of allocations: lengths are multiples of it.
pub(super) fn granularity(ordinal: usize) -> Result<usize, Error> {
    let which = sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_RECOMMENDED;
    let (mut bytes, kind) = (0, kind(ordinal));
    // SAFETY: both pointers are to values that outlive the call.
    unsafe { sys::cuMemGetAllocationGranularity(&raw mut bytes, &raw const kind, which) }
        .result()
        .map_err(refused("cuMemGetAllocationGranularity"))?;
    Ok(bytes.max(1))
}

/// Maps `bytes` bytes of memory, and returns the address.
pub(super) fn map(
    ordinal: usize,
    handle: &Handle,
    bytes: usize,
    access: Access,
) -> Result<sys::CUdeviceptr, Error> {
    let mut address = 0;
    // SAFETY: the pointer is to a value that outlives the call.
    unsafe { sys::cuMemAddressReserve(&raw mut address, bytes, 0, 0, 0) }
        .result()
        .map_err(refused("cuMemAddressReserve"))?;
    // SAFETY: address and length are those just reserved; the driver rejects a handle of fewer bytes.
    let mapped = unsafe { sys::cuMemMap(address, bytes, 0, handle.0, 0) }.result();
    let allowed =
        mapped.map_err(refused("cuMemMap")).and_then(|()| allow(ordinal, address, bytes, access));
    if let Err(error) = allowed {
        unmap(address, bytes);
        return Err(error);
    }
    Ok(address)
}

/// Sets the access that kernels have.
pub(super) fn allow(
    ordinal: usize,
    address: sys::CUdeviceptr,
    bytes: usize,
    access: Access,
) -> Result<(), Error> {
    use sys::CUmemAccess_flags::{
        CU_MEM_ACCESS_FLAGS_PROT_READ as READ, CU_MEM_ACCESS_FLAGS_PROT_READWRITE as READ_WRITE,
    };
    let flags = match access {
        Access::Read => READ,
        Access::ReadWrite => READ_WRITE,
    };
    let access = sys::CUmemAccessDesc { location: location(ordinal), flags };
    // SAFETY: the driver looks address and length up in its own tables.
    unsafe { sys::cuMemSetAccess(address, bytes, &raw const access, 1) }
        .result()
        .map_err(refused("cuMemSetAccess"))
}

/// Unmaps the address; the memory is freed if nothing else refers to it.
pub(super) fn unmap(address: sys::CUdeviceptr, bytes: usize) {
    // SAFETY: the driver looks address and length up in its own tables: unmapping an unmapped
    // address is an error without effect.
    unsafe {
        let _ = sys::cuMemUnmap(address, bytes);
        let _ = sys::cuMemAddressFree(address, bytes);
    }
}

fn location(ordinal: usize) -> sys::CUmemLocation {
    sys::CUmemLocation {
        type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
        id: i32::try_from(ordinal).unwrap_or(i32::MAX),
    }
}

fn kind(ordinal: usize) -> sys::CUmemAllocationProp {
    sys::CUmemAllocationProp {
        type_: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
        requestedHandleTypes: POSIX,
        location: location(ordinal),
        win32HandleMetaData: std::ptr::null_mut(),
        allocFlags: sys::CUmemAllocationProp_st__bindgen_ty_1 {
            compressionType: 0,
            gpuDirectRDMACapable: 0,
            usage: 0,
            reserved: [0; 4],
        },
    }
}
