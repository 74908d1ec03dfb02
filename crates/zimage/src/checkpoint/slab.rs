//! One stretch of a device's memory for all tensors of a component.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use zimage_cuda::Memory;

use super::host::HostMemory;
use crate::error::{Error, Result};

/// Tensors begin at multiples of this, as the kernels of cuBLAS and cuDNN like it.
const ALIGNMENT: usize = 256;

/// A length rounded up, so that the next tensor begins where it should.
pub(super) fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// The memory, and a tensor of its bytes.
#[derive(Debug)]
pub(super) struct Slab {
    /// `[bytes]`, Uint8. On a CPU it holds the memory; on a GPU it is a view of it.
    bytes: Tensor,
    memory: Held,
}

/// What has the memory.
#[derive(Debug)]
enum Held {
    /// The tensor alone: it ends with the process, for this reason.
    Tensor(String),
    Host(HostMemory),
    Cuda(Arc<Memory>),
}

/// Where bytes go.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// An address of this process's memory.
    Host(usize),
    /// A place in a file's memory, in bytes from its beginning.
    File(Arc<File>, u64),
    /// A place in a GPU's memory, in bytes from its beginning.
    Cuda(Arc<Memory>, usize),
}

impl Slab {
    /// Memory for `bytes` bytes, not 0, on a device, as long-lived as the system has it. On a CPU they are
    /// 0: bytes must be initialised to be lent as a slice.
    pub(super) fn new(device: Device, bytes: usize) -> Result<Self> {
        match device {
            Device::Cpu => match HostMemory::new(bytes) {
                Ok(memory) => Ok(Self::on_host(memory)),
                Err(why) => {
                    let bytes = Tensor::f_zeros(bytes as i64, (Kind::Uint8, device))?;
                    Ok(Self { bytes, memory: Held::Tensor(why.to_string()) })
                }
            },
            Device::Cuda(ordinal) => Self::on_gpu(Memory::new(ordinal, bytes)?, bytes),
            other => Err(no_loading_to(other)),
        }
    }

    /// Memory that another process filled with `bytes` bytes and shared.
    pub(super) fn import(device: Device, shared: OwnedFd, bytes: usize) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::on_host(HostMemory::import(shared, bytes)?)),
            Device::Cuda(ordinal) => {
                Self::on_gpu(Memory::import(ordinal, shared.as_fd(), bytes)?, bytes)
            }
            other => Err(no_loading_to(other)),
        }
    }

    fn on_host(memory: HostMemory) -> Self {
        Self { bytes: memory.view().shallow_clone(), memory: Held::Host(memory) }
    }

    fn on_gpu(memory: Memory, bytes: usize) -> Result<Self> {
        let bytes = memory.tensor()?.f_narrow(0, 0, bytes as i64)?;
        Ok(Self { bytes, memory: Held::Cuda(Arc::new(memory)) })
    }

    /// The place of its byte `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        match &self.memory {
            Held::Cuda(memory) => Place::Cuda(Arc::clone(memory), offset),
            Held::Host(memory) => Place::File(Arc::clone(memory.file()), offset as u64),
            Held::Tensor(_) => Place::Host(self.bytes.data_ptr() as usize + offset),
        }
    }

    /// A tensor of what lies there.
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

    /// All its bytes: `[bytes]`, Uint8.
    pub(super) fn bytes(&self) -> &Tensor {
        &self.bytes
    }

    /// Its bytes are complete: from here on they are only read.
    pub(super) fn complete(&mut self) {
        if let Held::Host(memory) = &mut self.memory
            && let Err(why) = memory.seal()
        {
            self.memory = Held::Tensor(why.to_string());
        }
    }

    /// A descriptor that holds the memory beyond this process; the GPU is at rest, and its kernels
    /// may not write there any longer.
    ///
    /// # Errors
    /// When the memory ends with it, and why.
    pub(super) fn share(&self) -> Result<OwnedFd> {
        match &self.memory {
            Held::Host(memory) => memory.share(),
            Held::Cuda(memory) => {
                let shared = memory.share()?;
                // Where the driver does not protect it, nothing writes there all the same.
                let _ = memory.protect();
                shared.ok_or_else(|| Error::NotKept("this driver's memory ends with it".to_owned()))
            }
            Held::Tensor(why) => Err(Error::NotKept(why.clone())),
        }
    }
}

fn no_loading_to(device: Device) -> Error {
    Error::Device(format!("there is no loading to the device {device:?}"))
}

impl Place {
    /// The place `bytes` further on.
    pub(super) fn after(&self, bytes: usize) -> Self {
        match self {
            Self::Host(address) => Self::Host(address + bytes),
            Self::Cuda(memory, offset) => Self::Cuda(Arc::clone(memory), offset + bytes),
            Self::File(file, offset) => Self::File(Arc::clone(file), offset + bytes as u64),
        }
    }
}
