//! Host memory that outlives the process: a sealed memfd.
//!
//! The bytes are written with `pwrite`, which is twice as fast as touching page after page of a
//! mapping, and read through a private mapping, where a stray write stays in its process. Seals make
//! the bytes read-only once they are complete.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::Errno;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// Seals that make the bytes and their number final.
const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// Host memory of at least one byte.
#[derive(Debug)]
pub(crate) struct HostMemory {
    file: Arc<File>,
    /// `[bytes]`, Uint8, read-only.
    view: Tensor,
    sealed: bool,
}

impl HostMemory {
    /// `bytes` bytes of 0, writable until sealed.
    ///
    /// # Errors
    /// When the system has no memfd, or no /proc to map it by.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let file = create(bytes as u64).map_err(unusable)?;
        Ok(Self { view: map(&file, bytes)?, file: Arc::new(file), sealed: false })
    }

    /// Memory that another process wrote and sealed.
    ///
    /// # Errors
    /// When it is no memfd, of another length, or not sealed.
    pub(crate) fn import(shared: OwnedFd, bytes: usize) -> Result<Self> {
        let file = File::from(shared);
        let found = sealed_length(&file).map_err(unusable)?;
        if found != bytes as u64 {
            return Err(Error::NotRetained(format!(
                "the memory has {found} bytes instead of {bytes}"
            )));
        }
        Ok(Self { view: map(&file, bytes)?, file: Arc::new(file), sealed: true })
    }

    /// All bytes, read-only: `[bytes]`, Uint8.
    pub(crate) fn view(&self) -> &Tensor {
        &self.view
    }

    /// The file to write the bytes to, until it is sealed.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Seals the memory, unless it is sealed.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if !self.sealed {
            fcntl_add_seals(&*self.file, SEALS).map_err(|e| unusable(e.into()))?;
            self.sealed = true;
        }
        Ok(())
    }

    /// A descriptor that keeps the memory alive.
    pub(crate) fn share(&self) -> Result<OwnedFd> {
        Ok(self.file.try_clone().map_err(unusable)?.into())
    }
}

/// A small sealed memfd.
pub(crate) fn write_sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = create(bytes.len() as u64)?;
    file.write_all_at(bytes, 0)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// The bytes of a sealed memfd, if they are at most `limit`.
pub(crate) fn read_sealed(shared: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::from(shared);
    let length = sealed_length(&file)?;
    if length > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn create(bytes: u64) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know NOEXEC_SEAL.
    let created = match memfd_create("zimage-weights", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create("zimage-weights", flags),
        created => created,
    };
    let file = File::from(created?);
    file.set_len(bytes)?;
    Ok(file)
}

/// The length of a memfd that no process can change.
fn sealed_length(file: &File) -> io::Result<u64> {
    // Only a memfd has seals; any other file is refused here.
    if !fcntl_get_seals(file)?.contains(SEALS) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not sealed"));
    }
    Ok(file.metadata()?.len())
}

/// A tensor over a private mapping of the file. Writes to the file are visible in it: its pages are
/// the file's until they are written through the mapping.
fn map(file: &File, bytes: usize) -> Result<Tensor> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(Tensor::f_from_file(&path, false, Some(bytes as i64), (Kind::Uint8, Device::Cpu))?)
}

fn unusable(error: io::Error) -> Error {
    Error::NotRetained(format!("memory that outlives the process is not available: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: usize) -> HostMemory {
        let memory = HostMemory::new(bytes).unwrap();
        memory.file().write_all_at(&vec![7; bytes], 0).unwrap();
        memory
    }

    fn sum(view: &Tensor) -> i64 {
        view.sum(Kind::Int64).int64_value(&[])
    }

    #[test]
    fn what_one_wrote_another_reads_when_the_first_is_gone() {
        let mut first = filled(10_000);
        // The view was mapped before anything was written, and sees also what comes later.
        assert_eq!(sum(first.view()), 70_000);
        first.file().write_all_at(&[8], 5000).unwrap();
        assert_eq!(sum(first.view()), 70_001);
        first.file().write_all_at(&[7], 5000).unwrap();
        first.seal().unwrap();
        assert_eq!(sum(first.view()), 70_000);
        let shared = first.share().unwrap();
        drop(first);
        let second = HostMemory::import(shared, 10_000).unwrap();
        assert_eq!(sum(second.view()), 70_000);
    }

    #[test]
    fn a_stray_write_stays_in_its_process() {
        let mut memory = filled(4096);
        memory.seal().unwrap();
        let _ = memory.view().shallow_clone().fill_(1);
        assert_eq!(sum(memory.view()), 4096);
        let other = HostMemory::import(memory.share().unwrap(), 4096).unwrap();
        assert_eq!(sum(other.view()), 7 * 4096);
    }

    #[test]
    fn what_can_still_change_is_refused() {
        let memory = filled(4096);
        let error = HostMemory::import(memory.share().unwrap(), 4096).unwrap_err();
        assert!(error.to_string().contains("it is not sealed"), "{error}");
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert!(HostMemory::import(file.into(), 4096).is_err());
        let mut memory = memory;
        memory.seal().unwrap();
        assert!(HostMemory::import(memory.share().unwrap(), 8192).is_err());
        let writer = File::from(memory.share().unwrap());
        assert!(writer.write_all_at(&[0], 0).is_err() && writer.set_len(0).is_err());
    }

    #[test]
    fn few_bytes_come_back_and_too_many_do_not() {
        let written = || write_sealed(b"manifest").unwrap();
        assert_eq!(read_sealed(written(), 8).unwrap(), b"manifest");
        assert!(read_sealed(written(), 7).is_err());
    }
}
