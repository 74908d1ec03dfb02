//! Tensors brought from files to the device, one by one, cast on the way.

use std::{fmt, slice};

use safetensors::tensor::Dtype;
use tch::{Device, Kind, Tensor};

use super::catalogue::Catalogue;
use super::header::Located;
use super::source::DataFile;
use crate::error::{Error, Result};

/// How many bytes are read at a time. Host memory beyond the tensors themselves is this, and at
/// most twice this while libtorch casts.
const PIECE: i64 = 16 << 20;

/// Where tensors go, and as what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The device they shall lie on.
    pub device: Device,
    /// The kind they are cast to.
    pub kind: Kind,
}

/// The tensors of one component: each must be taken or skipped.
pub struct Weights<'a> {
    catalogue: Catalogue,
    target: Target,
    progress: &'a mut dyn FnMut(u64),
    /// `PIECE` bytes on the host, made when first needed.
    staging: Option<Tensor>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(
        catalogue: Catalogue,
        target: Target,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self { catalogue, target, progress, staging: None }
    }

    /// The device that tensors are brought to.
    pub fn device(&self) -> Device {
        self.target.device
    }

    /// The kind that tensors are cast to.
    pub fn kind(&self) -> Kind {
        self.target.kind
    }

    /// Whether there is such a tensor, not yet taken nor skipped.
    pub fn has(&self, name: &str) -> bool {
        self.catalogue.tensors.contains_key(name)
    }
}

impl Weights<'_> {
    /// Reads the tensor `name`, of the shape `shape`, and casts it to the target's device and kind.
    ///
    /// # Errors
    /// When it is not there (or was taken before), has another shape, holds anything but float32,
    /// bfloat16 or float16, or cannot be read; nothing is allocated before that is checked.
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let Some((number, located)) = self.catalogue.tensors.remove(name) else {
            let place = self.catalogue.place.clone();
            return Err(Error::MissingTensor { place, name: name.to_owned() });
        };
        let file = &self.catalogue.files[number];
        if located.shape != shape {
            return Err(Error::Shape {
                name: name.to_owned(),
                file: file.label.clone(),
                found: located.shape,
                expected: shape.to_owned(),
            });
        }
        let Some(kind) = kind_of(located.dtype) else {
            return Err(Error::Dtype {
                name: name.to_owned(),
                file: file.label.clone(),
                dtype: located.dtype.to_string(),
            });
        };
        load(file, &located, kind, self.target, &mut self.staging, self.progress)
    }

    /// Leaves out the tensors whose names begin with `prefix`; there may be none.
    pub fn skip(&mut self, prefix: &str) {
        let mut bytes = 0;
        self.catalogue.tensors.retain(|name, (_, located)| {
            let skipped = name.starts_with(prefix);
            bytes += if skipped { located.bytes } else { 0 };
            !skipped
        });
        (self.progress)(bytes);
    }

    /// Ends the loading.
    ///
    /// # Errors
    /// When tensors are left that were neither taken nor skipped; it names them.
    pub fn finish(self) -> Result<()> {
        let names: Vec<String> = self.catalogue.tensors.into_keys().collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Error::SurplusTensors { place: self.catalogue.place, names })
    }
}

impl fmt::Debug for Weights<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("catalogue", &self.catalogue)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F16 => Some(Kind::Half),
        _ => None,
    }
}

/// Reads piece by piece: right into the tensor where it lies on the host in its own kind, else
/// through `staging`.
fn load(
    file: &DataFile,
    located: &Located,
    kind: Kind,
    target: Target,
    staging: &mut Option<Tensor>,
    progress: &mut dyn FnMut(u64),
) -> Result<Tensor> {
    // Zeroes cost nothing beside the reading, and bytes must be initialised to be lent as a slice.
    let tensor = Tensor::f_zeros(&located.shape, (target.kind, target.device))?;
    let flat = tensor.f_view(-1)?;
    let direct = target == Target { device: Device::Cpu, kind };
    let width = kind.elt_size_in_bytes() as i64;
    let numbers = located.bytes as i64 / width;
    let mut done = 0;
    while done < numbers {
        let count = (numbers - done).min(PIECE / width);
        let mut piece = flat.f_narrow(0, done, count)?;
        let offset = located.offset + (done * width) as u64;
        if direct {
            fill(&mut piece, file, offset)?;
        } else {
            let staged = match staging {
                Some(staging) => staging,
                None => staging.insert(Tensor::f_zeros(PIECE, (Kind::Uint8, Device::Cpu))?),
            };
            let mut staged = staged.f_narrow(0, 0, count * width)?.f_view_dtype(kind)?;
            fill(&mut staged, file, offset)?;
            piece.f_copy_(&staged)?;
        }
        progress((count * width) as u64);
        done += count;
    }
    Ok(tensor)
}

/// Fills a contiguous tensor on the host with the bytes at `offset`, in the machine's byte order.
#[expect(unsafe_code, reason = "tch has no way to write into a tensor's memory without a copy")]
fn fill(tensor: &mut Tensor, file: &DataFile, offset: u64) -> Result<()> {
    let bytes = tensor.numel() * tensor.f_kind()?.elt_size_in_bytes();
    if tensor.device() != Device::Cpu || !tensor.is_contiguous() {
        return Err(Error::Internal("a tensor to be filled is not contiguous on the host".into()));
    }
    // SAFETY: the tensor is contiguous on the host, so `bytes` bytes follow its data pointer; they
    // were set when it was made; any bytes are numbers of its kind; nothing else reads or writes
    // it, or frees it, while the slice lives.
    let memory = unsafe { slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), bytes) };
    file.read_exact_at(memory, offset)
}

#[cfg(target_endian = "big")]
compile_error!("safetensors are little-endian, and they are read without conversion");
