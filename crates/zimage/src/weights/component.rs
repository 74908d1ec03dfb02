//! The weights of one component: each tensor is placed in an arena before its bytes are read.
//!
//! [`Weights::take`] states a tensor's name and shape, and returns a view of its place in the arena.
//! The [`Loader`] then reads all bytes at once with many threads.

use std::fmt::{self, Write};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::digest::sha256;
use zimage_checkpoint::{Checkpoint, Component, Encoding, Number, StoredTensor, TensorIndex};

use super::arena::{Arena, aligned};
use super::loader::Loader;
use super::reader::Read;
use super::retained::ComponentManifest;
use crate::error::{Error, Result};

/// The device and the kind of loaded tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The device.
    pub device: Device,
    /// The kind that they are cast to.
    pub kind: Kind,
}

/// The tensors of one component: each must be taken or skipped.
pub struct Weights<'a> {
    index: TensorIndex,
    target: Target,
    loader: &'a mut Loader,
    /// Created for the first tensor that is taken; with its manifest if it is retained.
    arena: Option<(Arena, Option<ComponentManifest>)>,
    /// Bytes of the arena that are taken.
    used: usize,
    /// Bytes of the arena.
    bytes: usize,
    /// Address, kind, shape and name of each tensor, one a line.
    layout: String,
    reads: Vec<Read>,
    skipped: u64,
}

/// A tensor of the requested name and shape.
struct Found {
    name: String,
    file: usize,
    stored: StoredTensor,
    kind: Kind,
}

impl Loader {
    /// The tensors of a component, to be taken one by one.
    ///
    /// Reads and checks the headers of its files. [`Loader::run`] reads the tensors once all are
    /// taken.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn weights(
        &mut self,
        checkpoint: &Checkpoint,
        component: Component,
        target: Target,
    ) -> Result<Weights<'_>> {
        Ok(Weights::new(checkpoint.tensor_index(component)?, target, self))
    }
}

impl<'a> Weights<'a> {
    fn new(index: TensorIndex, target: Target, loader: &'a mut Loader) -> Self {
        Self {
            index,
            target,
            loader,
            arena: None,
            used: 0,
            bytes: 0,
            layout: String::new(),
            reads: Vec::new(),
            skipped: 0,
        }
    }

    /// The device that tensors are loaded to.
    pub fn device(&self) -> Device {
        self.target.device
    }

    /// The kind that tensors are cast to.
    pub fn kind(&self) -> Kind {
        self.target.kind
    }

    /// Whether there is such a tensor that is neither taken nor skipped.
    pub fn has(&self, name: &str) -> bool {
        self.index.tensors.contains_key(name)
    }
}

impl Weights<'_> {
    /// The tensor `name` of shape `shape`, on the target's device and of its kind.
    ///
    /// Its numbers are undefined until the loader has run. On a GPU its memory is the loader's, see
    /// [`Loader::into_weights`].
    ///
    /// # Errors
    /// When it is absent (or was taken before), has another shape, is anything but float32, bfloat16
    /// or float16, or the device's memory is too small; nothing is allocated before the checks.
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let found = self.find(name, shape)?;
        self.place(&[found], shape)
    }

    /// Several tensors concatenated in their first dimension: each with its name and its size there.
    /// `rest` is their other dimensions.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub fn take_joined<S: AsRef<str>>(
        &mut self,
        parts: &[(S, i64)],
        rest: &[i64],
    ) -> Result<Tensor> {
        let shape = |rows: i64| [&[rows], rest].concat();
        let found = parts.iter().map(|(name, rows)| self.find(name.as_ref(), &shape(*rows)));
        let found = found.collect::<Result<Vec<_>>>()?;
        self.place(&found, &shape(parts.iter().map(|(_, rows)| rows).sum()))
    }

    /// Skips the tensors whose names begin with `prefix`; there may be none.
    pub fn skip(&mut self, prefix: &str) {
        self.skipped += self.index.skip(prefix);
    }

    /// Adds the component to the loader.
    ///
    /// # Errors
    /// When tensors are left that were neither taken nor skipped; it names them.
    /// [`Error::NotRetained`] when retained weights are others, or have another layout.
    pub fn finish(self) -> Result<()> {
        self.index.check_empty()?;
        self.loader.skip(self.skipped);
        let Some(arena) = self.arena else { return Ok(()) };
        let manifest = ComponentManifest {
            files: self.index.files.iter().map(|file| file.fingerprint.clone()).collect(),
            headers: self.index.header_digests,
            layout: sha256(self.layout.as_bytes()),
            bytes: self.bytes,
            checksum: String::new(),
        };
        self.loader.add(arena, manifest, self.reads)
    }

    fn find(&mut self, name: &str, shape: &[i64]) -> Result<Found> {
        let (file, stored) = self.index.take(name, shape)?;
        let kind = kind_of(stored.encoding).ok_or_else(|| {
            Error::Internal(format!("the tensor {name} has the type {}", stored.encoding))
        })?;
        Ok(Found { name: name.to_owned(), file, stored, kind })
    }

    /// DaemonLimits the tensors at the next address of the arena, as one tensor of this shape.
    fn place(&mut self, found: &[Found], shape: &[i64]) -> Result<Tensor> {
        let width = self.target.kind.elt_size_in_bytes();
        let bytes = |stored: &StoredTensor, kind: Kind| {
            stored.bytes as usize / kind.elt_size_in_bytes() * width
        };
        let arena = match self.arena.take() {
            Some(arena) => arena,
            None => {
                let left = self.index.tensors.values();
                let left = left.filter_map(|(_, s)| Some(aligned(bytes(s, kind_of(s.encoding)?))));
                let taken = found.iter().map(|f| aligned(bytes(&f.stored, f.kind)));
                self.bytes = aligned(left.chain(taken).sum::<usize>().max(1));
                self.loader.arena(self.target.device, self.bytes)?
            }
        };
        let (arena, _) = self.arena.insert(arena);
        let begin = self.used;
        let mut end = begin;
        for Found { name, file, stored, kind } in found {
            // Writing to a string cannot fail.
            let _ = writeln!(self.layout, "{end} {:?} {:?} {name}", self.target.kind, stored.shape);
            self.reads.push(Read {
                file: Arc::clone(&self.index.files[*file]),
                offset: stored.offset,
                numbers: stored.bytes as usize / kind.elt_size_in_bytes(),
                from: *kind,
                to: self.target.kind,
                address: arena.address(end),
            });
            end += bytes(stored, *kind);
        }
        self.used = aligned(end);
        arena.view(begin, end - begin, self.target.kind, shape)
    }
}

impl fmt::Debug for Weights<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("index", &self.index)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

fn kind_of(encoding: Encoding) -> Option<Kind> {
    match encoding {
        Encoding::Plain(Number::F32) => Some(Kind::Float),
        Encoding::Plain(Number::Bf16) => Some(Kind::BFloat16),
        Encoding::Plain(Number::F16) => Some(Kind::Half),
        _ => None,
    }
}
