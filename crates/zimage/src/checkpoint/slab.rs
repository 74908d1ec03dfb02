//! One stretch of a device's memory for all tensors of a component.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use zimage_cuda::Memory;

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
    /// `[bytes]`, Uint8. On a CPU it holds the memory; on a GPU it is a view of `memory`.
    bytes: Tensor,
    memory: Option<Arc<Memory>>,
}

/// Where bytes go.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// An address of this process's memory.
    Host(usize),
    /// A place in a GPU's memory, in bytes from its beginning.
    Cuda(Arc<Memory>, usize),
}

impl Slab {
    /// Memory for `bytes` bytes on a device. On a CPU they are 0: bytes must be initialised to be
    /// lent as a slice, and that costs nothing beside the reading.
    pub(super) fn new(device: Device, bytes: usize) -> Result<Self> {
        match device {
            Device::Cpu => {
                let bytes = Tensor::f_zeros(bytes as i64, (Kind::Uint8, device))?;
                Ok(Self { bytes, memory: None })
            }
            Device::Cuda(ordinal) => {
                let memory = Memory::new(ordinal, bytes)?;
                Ok(Self { bytes: memory.tensor()?, memory: Some(Arc::new(memory)) })
            }
            other => Err(Error::Device(format!("there is no loading to the device {other:?}"))),
        }
    }

    /// The place of its byte `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        match &self.memory {
            Some(memory) => Place::Cuda(Arc::clone(memory), offset),
            None => Place::Host(self.bytes.data_ptr() as usize + offset),
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

    /// The memory that must outlive all tensors, if they do not hold it themselves.
    pub(super) fn into_memory(self) -> Option<Arc<Memory>> {
        self.memory
    }
}

impl Place {
    /// The place `bytes` further on.
    pub(super) fn after(&self, bytes: usize) -> Self {
        match self {
            Self::Host(address) => Self::Host(address + bytes),
            Self::Cuda(memory, offset) => Self::Cuda(Arc::clone(memory), offset + bytes),
        }
    }
}
