//! Files whose pages in the page cache a GPU copies from by itself.
//!
//! The driver pins the pages of a read-only mapping at 43 GB/s, and copies from them at the link's
//! full speed, 55 GB/s on PCIe 5 x16: no thread reads, and no memory holds the weights twice.

#![expect(unsafe_code, reason = "calls into the driver's C interface, and maps files")]

use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use cudarc::driver::{result, sys};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::context::{self, refused};
use crate::copy_stream::CopyStream;
use crate::error::Error;
use crate::memory::Memory;

/// Mappings begin at multiples of this, whatever a page is: 64 KiB on some Arm machines.
const PAGE: u64 = 64 << 10;
/// `CU_MEMHOSTREGISTER_READ_ONLY` of cuda.h.
const READ_ONLY: u32 = 8;

/// A part of a file's pages, pinned.
#[derive(Debug)]
pub struct MappedFile {
    address: *mut c_void,
    bytes: usize,
    /// The byte of the file at which it begins: that of a page.
    begin: u64,
}

impl MappedFile {
    /// Pins the pages that hold these bytes of a file, which must have as many, for the GPU `ordinal`. A
    /// refusal leaves nothing behind, and no later call fails for it.
    ///
    /// # Errors
    /// When the system or the driver refuses, as WSL's does beyond 1 GiB in all.
    pub fn new(ordinal: usize, file: BorrowedFd<'_>, part: Range<u64>) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let begin = part.start / PAGE * PAGE;
        let bytes = usize::try_from(part.end.saturating_sub(begin)).unwrap_or(usize::MAX);
        let (read, shared) = (ProtFlags::READ, MapFlags::SHARED);
        // SAFETY: a new mapping at an address that the system chooses; this program never reads it,
        // so a file that becomes shorter is no fault.
        let address = unsafe { mmap(std::ptr::null_mut(), bytes, read, shared, file, begin) };
        let address = address.map_err(|_| Error::InvalidArguments("a file cannot be mapped"))?;
        // SAFETY: the mapping has as many bytes, and is unregistered before it is unmapped.
        let pinned = unsafe { sys::cuMemHostRegister_v2(address, bytes, READ_ONLY) };
        match pinned.result() {
            Ok(()) => Ok(Self { address, bytes, begin }),
            Err(error) => {
                // SAFETY: the mapping was made above, and nothing refers to it.
                let _ = unsafe { munmap(address, bytes) };
                Err(refused("cuMemHostRegister")(error))
            }
        }
    }
}

impl MappedFile {
    /// Whether it holds these bytes of the file.
    pub fn holds(&self, part: &Range<u64>) -> bool {
        part.start >= self.begin && part.end <= self.begin + self.bytes as u64
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: the owner has waited for copies from it.
        unsafe {
            let _ = sys::cuMemHostUnregister(self.address);
            let _ = munmap(self.address, self.bytes);
        }
    }
}

impl CopyStream {
    /// Starts to copy `bytes` bytes at `from` of a file to `offset` in `to`. Both must live until the
    /// stream has finished.
    ///
    /// # Errors
    /// When the bytes do not fit, or the driver fails.
    pub fn copy(
        &self,
        (file, from): (&MappedFile, u64),
        bytes: usize,
        (to, offset): (&Memory, usize),
    ) -> Result<(), Error> {
        let from = from.checked_sub(file.begin).and_then(|from| usize::try_from(from).ok());
        let from = from.unwrap_or(usize::MAX);
        let fits = |room: usize, at: usize| room.checked_sub(at).is_some_and(|room| bytes <= room);
        if !fits(file.bytes, from) || !fits(to.bytes(), offset) {
            return Err(Error::InvalidArguments("a copy exceeds its memory"));
        }
        // SAFETY: the range is within the mapping. The slice is not read here: the driver takes its
        // address, and the GPU reads pages that are pinned.
        let place =
            unsafe { std::slice::from_raw_parts(file.address.cast::<u8>().add(from), bytes) };
        // SAFETY: both ranges are within their memory, which lives long enough as the caller ensures.
        unsafe { result::memcpy_htod_async(to.address() + offset as u64, place, self.raw()) }
            .map_err(refused("cuMemcpyHtoDAsync"))
    }
}
