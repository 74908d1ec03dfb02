//! The driver's memory in two halves: a handle, which has bytes, and a mapping, which has an
//! address. A current context is the caller's business.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use cudarc::driver::{DriverError, result, sys};

use crate::Error;
use crate::context::{self, refused};

const POSIX: sys::CUmemAllocationHandleType =
    sys::CUmemAllocationHandleType_enum::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

/// What kernels may do.
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
    /// `bytes` new bytes, a multiple of the granularity.
    pub(super) fn create(ordinal: usize, bytes: usize) -> Result<Self, Error> {
        let (mut handle, kind) = (0, kind(ordinal));
        // SAFETY: both pointers are to values that outlive the call.
        unsafe { sys::cuMemCreate(&raw mut handle, bytes, &raw const kind, 0) }
            .result()
            .map_err(no_room("cuMemCreate", bytes))?;
        Ok(Self(handle))
    }

    /// That which a descriptor holds; the descriptor is not needed any longer.
    pub(super) fn import(shared: BorrowedFd<'_>) -> Result<Self, Error> {
        let mut handle = 0;
        let number = shared.as_raw_fd() as usize as *mut c_void;
        // SAFETY: the first pointer is to a value that outlives the call; for this kind of handle
        // the second is no pointer but the descriptor, which the driver only looks at.
        unsafe { sys::cuMemImportFromShareableHandle(&raw mut handle, number, POSIX) }
            .result()
            .map_err(refused("cuMemImportFromShareableHandle"))?;
        Ok(Self(handle))
    }

    /// That which is mapped at an address.
    pub(super) fn of(address: sys::CUdeviceptr) -> Result<Self, Error> {
        let mut handle = 0;
        // SAFETY: the first pointer is to a value that outlives the call; the driver looks the
        // address up in its own books.
        unsafe { sys::cuMemRetainAllocationHandle(&raw mut handle, address as *mut c_void) }
            .result()
            .map_err(refused("cuMemRetainAllocationHandle"))?;
        Ok(Self(handle))
    }

    /// A descriptor that holds the memory, closed on exec.
    pub(super) fn export(&self) -> Result<OwnedFd, Error> {
        let mut number: RawFd = -1;
        // SAFETY: for this kind of handle the driver writes an `int`, which outlives the call.
        unsafe {
            sys::cuMemExportToShareableHandle((&raw mut number).cast::<c_void>(), self.0, POSIX, 0)
        }
        .result()
        .map_err(refused("cuMemExportToShareableHandle"))?;
        // SAFETY: the driver made the descriptor for us.
        let exported = unsafe { OwnedFd::from_raw_fd(number) };
        // A copy is closed on exec, whatever the driver's is.
        exported.try_clone().map_err(|_| Error::Misuse("no more files can be opened"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is not used again; a mapping keeps the memory.
        let _ = unsafe { sys::cuMemRelease(self.0) };
    }
}

/// Whether the driver has memory that a descriptor can hold, as it says.
pub(super) fn is_offered(ordinal: usize) -> Result<bool, Error> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED as SHARED,
        CU_DEVICE_ATTRIBUTE_VIRTUAL_ADDRESS_MANAGEMENT_SUPPORTED as MAPPED,
    };
    let device = context::device(ordinal)?;
    let has = |which| {
        // SAFETY: the device is one that the driver named. A driver that does not know the
        // question has no such memory.
        unsafe { result::device::get_attribute(device, which) }.is_ok_and(|value| value != 0)
    };
    Ok(has(MAPPED) && has(SHARED))
}

/// Whether a code says that there is no memory of this kind, rather than that something failed.
pub(super) fn is_a_no(code: i32) -> bool {
    use sys::CUresult::{CUDA_ERROR_NOT_PERMITTED, CUDA_ERROR_NOT_SUPPORTED};
    [CUDA_ERROR_NOT_PERMITTED as i32, CUDA_ERROR_NOT_SUPPORTED as i32].contains(&code)
}

/// What a refused allocation of so many bytes is called.
pub(super) fn no_room(call: &'static str, bytes: usize) -> impl Fn(DriverError) -> Error {
    move |error| match (error.0, result::mem_get_info()) {
        (sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY, Ok((free, _))) => Error::NoRoom { bytes, free },
        _ => refused(call)(error),
    }
}

/// What lengths are multiples of.
pub(super) fn granularity(ordinal: usize) -> Result<usize, Error> {
    let which = sys::CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_RECOMMENDED;
    let (mut bytes, kind) = (0, kind(ordinal));
    // SAFETY: both pointers are to values that outlive the call.
    unsafe { sys::cuMemGetAllocationGranularity(&raw mut bytes, &raw const kind, which) }
        .result()
        .map_err(refused("cuMemGetAllocationGranularity"))?;
    Ok(bytes.max(1))
}

/// Gives `bytes` bytes of memory an address.
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
    // SAFETY: address and length are those just reserved; a handle of fewer bytes is refused.
    let mapped = unsafe { sys::cuMemMap(address, bytes, 0, handle.0, 0) }.result();
    let allowed =
        mapped.map_err(refused("cuMemMap")).and_then(|()| allow(ordinal, address, bytes, access));
    if let Err(error) = allowed {
        unmap(address, bytes);
        return Err(error);
    }
    Ok(address)
}

/// Says what the GPU's kernels may do there.
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
    // SAFETY: the driver looks address and length up in its own books.
    unsafe { sys::cuMemSetAccess(address, bytes, &raw const access, 1) }
        .result()
        .map_err(refused("cuMemSetAccess"))
}

/// Takes the address back; the memory goes with it if nothing else holds it.
pub(super) fn unmap(address: sys::CUdeviceptr, bytes: usize) {
    // SAFETY: the driver looks address and length up in its own books: unmapping what is not
    // mapped is refused and changes nothing.
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
