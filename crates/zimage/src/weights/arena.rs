//! An arena: one allocation of a device's memory for all tensors of a component.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use zimage_cuda::Memory;

use super::retained::HostMemory;
use crate::error::{Error, Result};

/// Tensors begin at multiples of this: kernels of cuBLAS and cuDNN are fast on aligned memory.
const ALIGNMENT: usize = 256;

/// `bytes` rounded up to the alignment.
pub(super) fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// The allocation, and a tensor of its bytes.
#[derive(Debug)]
pub(super) struct Arena {
    /// `[bytes]`, Uint8. On a CPU it holds the memory; on a GPU it is a view of it.
    bytes: Tensor,
    memory: Owner,
}

/// The owner of the memory.
#[derive(Debug)]
enum Owner {
    /// The tensor itself: the memory ends with the process, for this reason.
    Tensor(String),
    Host(HostMemory),
    Cuda(Arc<Memory>),
}

/// An address within an arena.
#[derive(Clone, Debug)]
pub(super) enum ArenaAddress {
    /// An address of this process's memory.
    Host(usize),
    /// An offset in a memory file.
    File(Arc<File>, u64),
    /// An offset in a GPU's memory.
    Cuda(Arc<Memory>, usize),
}

impl Arena {
    /// An arena of `bytes` bytes, at least 1, that outlives the process where the system allows it.
    /// On a CPU the bytes are 0: they must be initialised to be borrowed as a slice.
    pub(super) fn new(device: Device, bytes: usize) -> Result<Self> {
        match device {
            Device::Cpu => match HostMemory::new(bytes) {
                Ok(memory) => Ok(Self::on_host(memory)),
                Err(why) => {
                    let bytes = Tensor::f_zeros(bytes as i64, (Kind::Uint8, device))?;
                    Ok(Self { bytes, memory: Owner::Tensor(why.to_string()) })
                }
            },
            Device::Cuda(ordinal) => Self::on_gpu(Memory::new(ordinal, bytes)?, bytes),
            other => Err(unsupported(other)),
        }
    }

    /// An arena of `bytes` bytes that another process filled and shared.
    pub(super) fn import(device: Device, shared: OwnedFd, bytes: usize) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::on_host(HostMemory::import(shared, bytes)?)),
            Device::Cuda(ordinal) => {
                Self::on_gpu(Memory::import(ordinal, shared.as_fd(), bytes)?, bytes)
            }
            other => Err(unsupported(other)),
        }
    }

    fn on_host(memory: HostMemory) -> Self {
        Self { bytes: memory.view().shallow_clone(), memory: Owner::Host(memory) }
    }

    fn on_gpu(memory: Memory, bytes: usize) -> Result<Self> {
        let bytes = memory.tensor()?.f_narrow(0, 0, bytes as i64)?;
        Ok(Self { bytes, memory: Owner::Cuda(Arc::new(memory)) })
    }

    /// The address of byte `offset`.
    pub(super) fn address(&self, offset: usize) -> ArenaAddress {
        match &self.memory {
            Owner::Cuda(memory) => ArenaAddress::Cuda(Arc::clone(memory), offset),
            Owner::Host(memory) => ArenaAddress::File(Arc::clone(memory.file()), offset as u64),
            Owner::Tensor(_) => ArenaAddress::Host(self.bytes.data_ptr() as usize + offset),
        }
    }

    /// A tensor over `bytes` bytes at `offset`.
    pub(super) fn view(
        &self,
        offset: usize,
        bytes: usize,
        kind: Kind,
        shape: &[i64],
    ) -> Result<Tensor> {
        let bytes = self.bytes.f_narrow(0, offset as i64, bytes as i64)?;
        Ok(bytes.f_view_dtype(kind)?.f_view(shape)?)
    }

    /// The device that has its memory.
    pub(super) fn device(&self) -> Device {
        self.bytes.device()
    }

    /// All its bytes: `[bytes]`, Uint8.
    pub(super) fn bytes(&self) -> &Tensor {
        &self.bytes
    }

    /// Makes the memory read-only, where the system can, once its bytes are complete.
    pub(super) fn seal(&mut self) {
        if let Owner::Host(memory) = &mut self.memory
            && let Err(why) = memory.seal()
        {
            self.memory = Owner::Tensor(why.to_string());
        }
    }

    /// A descriptor by which the memory outlives this process. No kernel runs, and none may write to
    /// it any more.
    ///
    /// # Errors
    /// When the memory ends with the process, and why.
    pub(super) fn share(&self) -> Result<OwnedFd> {
        match &self.memory {
            Owner::Host(memory) => memory.share(),
            Owner::Cuda(memory) => {
                let shared = memory.share()?;
                // A driver that cannot protect it is no error: no kernel writes to weights.
                let _ = memory.protect();
                shared
                    .ok_or_else(|| Error::NotRetained("this driver cannot share memory".to_owned()))
            }
            Owner::Tensor(why) => Err(Error::NotRetained(why.clone())),
        }
    }
}

fn unsupported(device: Device) -> Error {
    Error::Device(format!("weights cannot be loaded to the device {device:?}"))
}

impl ArenaAddress {
    /// The address `bytes` further on.
    pub(super) fn after(&self, bytes: usize) -> Self {
        match self {
            Self::Host(address) => Self::Host(address + bytes),
            Self::Cuda(memory, offset) => Self::Cuda(Arc::clone(memory), offset + bytes),
            Self::File(file, offset) => Self::File(Arc::clone(file), offset + bytes as u64),
        }
    }
}
