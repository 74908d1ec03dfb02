//! The weights of one component: each tensor is placed in an arena before its bytes are read.
//!
//! [`Weights::take`] states a tensor's name and shape, and returns a view of its place in the arena.
//! The [`Loader`] then reads all bytes at once with many threads.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::digest::sha256;
use zimage_checkpoint::{
    BlockPart, Checkpoint, Component, Encoding, StoredTensor, TensorIndex, becomes_int8,
    is_block_matrix,
};

use super::arena::{Arena, ArenaAddress, aligned};
use super::blocks::{
    BlockMatrix, Blocks, Form, MatrixLayout, PartName, Streaming, bytes_in_slot, part_of,
};
use super::file_rows::FileRows;
use super::int8::Int8;
use super::loader::Loader;
use super::packed::{PackedMatrix, Stretch, Stretches};
use super::reader::Read;
use super::retained::ComponentManifest;
use super::streaming::{Pass, Placed, StreamedPart};
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
    blocks: Blocks<'a>,
}

/// The bytes that a component takes on a device, at most, where these parts of blocks are streamed.
pub(crate) fn bytes_on_device(
    index: &TensorIndex,
    streamed: &BTreeSet<PartName>,
    form: Form,
    kind: Kind,
) -> usize {
    let is_elsewhere = |name: &str| {
        part_of(name).is_some_and(|part| streamed.contains(&part))
            || !streamed.is_empty() && name.ends_with(MODULATION)
    };
    let tensors = index.tensors.iter().filter(|(name, _)| !is_elsewhere(name));
    tensors.map(|(name, (_, stored))| bytes_at_most(name, stored, form, kind)).sum()
}

/// The most bytes of an arena that a tensor takes.
fn bytes_at_most(name: &str, stored: &StoredTensor, form: Form, kind: Kind) -> usize {
    let part = name.splitn(3, '.').nth(2).filter(|part| is_block_matrix(part));
    match part {
        Some(_) => bytes_in_slot(name, stored, form, kind),
        None => aligned(stored.numbers() as usize * kind.elt_size_in_bytes()),
    }
}

/// The matrices that stay in their file where blocks are streamed: see [`crate::nn::FileLinear`].
const MODULATION: &str = ".adaLN_modulation.0.weight";

/// A tensor of the requested name and shape.
struct Found {
    name: String,
    file: usize,
    stored: StoredTensor,
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
        Ok(self.weights_of(checkpoint.tensor_index(component)?, target))
    }

    /// The tensors of files that belong to no checkpoint.
    pub(crate) fn weights_of(&mut self, index: TensorIndex, target: Target) -> Weights<'_> {
        Weights::new(index, target, self)
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
            blocks: Blocks::default(),
        }
    }

    /// The same with matrices of blocks in another form.
    pub(crate) fn form(mut self, form: Form) -> Self {
        self.blocks.form = form;
        self
    }

    /// The same with the matrices of some parts of blocks streamed.
    pub(crate) fn streaming(mut self, streaming: Option<Streaming<'a>>) -> Self {
        self.blocks.streaming = streaming;
        self
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
    /// When it is absent (or was taken before), has another shape or an encoding that is not read, or
    /// the device's memory is too small; nothing is allocated before the checks.
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

    /// Whether any part of the model is streamed.
    pub(crate) fn is_streaming(&self) -> bool {
        self.blocks.streaming.is_some()
    }

    /// Takes a part of the block `name`, whose matrices may be streamed; then there is a second result.
    ///
    /// # Errors
    /// Those of `take`.
    pub(crate) fn take_part<T>(
        &mut self,
        block: (&str, Pass),
        part: BlockPart,
        take: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<(T, Option<StreamedPart>)> {
        self.blocks.begin(block, part);
        let taken = take(self);
        let part = self.blocks.end();
        Ok((taken?, part))
    }

    /// As [`Weights::take_joined`] for matrices of a block, with `inputs` columns, which may be
    /// streamed, and have another form.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub(crate) fn take_matrix<S: AsRef<str>>(
        &mut self,
        parts: &[(S, i64)],
        inputs: i64,
    ) -> Result<BlockMatrix> {
        let found = parts.iter().map(|(name, rows)| self.find(name.as_ref(), &[*rows, inputs]));
        let found = found.collect::<Result<Vec<_>>>()?;
        let stored: Vec<&StoredTensor> = found.iter().map(|found| &found.stored).collect();
        match self.blocks.layout(&stored, inputs) {
            MatrixLayout::Float8(layout, reads) => {
                let bytes = self.place_bytes(&found, reads, layout.bytes())?;
                Ok(BlockMatrix::Float8(layout.rows(bytes)?))
            }
            MatrixLayout::Packed(layout, reads) => {
                let bytes = self.place_bytes(&found, reads, layout.bytes)?;
                let packed = PackedMatrix::new(bytes, layout, (inputs, self.target.kind));
                Ok(BlockMatrix::Packed(packed))
            }
            MatrixLayout::Dense => {
                let shape = [parts.iter().map(|(_, rows)| rows).sum(), inputs];
                Ok(BlockMatrix::Dense(self.place_dense(&found, &shape)?))
            }
        }
    }

    /// Places a matrix of the kind of products in a slot or in the arena.
    fn place_dense(&mut self, found: &[Found], shape: &[i64]) -> Result<Placed<Tensor>> {
        if self.blocks.streamed().is_none() {
            return Ok(Placed::Resident(self.place(found, shape)?));
        }
        let (mut bytes, mut reads) = (0, Vec::with_capacity(found.len()));
        for found in found {
            reads.push((bytes, self.read(found, ArenaAddress::Host(0))));
            bytes += self.expanded_bytes(&found.stored);
        }
        let kind = self.target.kind;
        match self.blocks.streamed() {
            Some(block) => block.add(reads, bytes, kind, shape),
            None => Err(Error::Internal("the block is not streamed".to_owned())),
        }
    }

    /// Places the bytes of tensors, as they are in the file, in a slot or in the arena: `[bytes]`,
    /// Uint8.
    fn place_bytes(
        &mut self,
        found: &[Found],
        stretches: Vec<Stretches>,
        bytes: usize,
    ) -> Result<Placed<Tensor>> {
        let mut reads = Vec::new();
        for (Found { file, .. }, stretches) in found.iter().zip(stretches) {
            let file = &self.index.files[*file];
            reads.extend(stretches.into_iter().map(|Stretch { at, stored, int8 }| {
                let (file, address) = (Arc::clone(file), ArenaAddress::Host(0));
                let to = if int8.is_some() { Kind::Int8 } else { Kind::Uint8 };
                (at, Read { file, stored, to, int8, address })
            }));
        }
        let shape = [bytes as i64];
        if let Some(block) = self.blocks.streamed() {
            return block.add(reads, bytes, Kind::Uint8, &shape);
        }
        let needed = found.iter().map(|found| self.bytes_at_most(&found.name, &found.stored)).sum();
        self.need_arena(needed)?;
        let begin = self.used;
        let Some((arena, _)) = &self.arena else {
            return Err(Error::Internal("the weights have no memory".to_owned()));
        };
        for Found { name, stored, .. } in found {
            // Writing to a string cannot fail.
            let form = if self.blocks.form.int8 { " int8" } else { "" };
            let (encoding, shape) = (stored.encoding, &stored.shape);
            let _ = writeln!(self.layout, "{begin} {encoding} {shape:?} {name}{form}");
        }
        for (at, read) in reads {
            self.reads.push(Read { address: arena.address(begin + at), ..read });
        }
        self.used = aligned(begin + bytes);
        Ok(Placed::Resident(arena.view(begin, bytes, Kind::Uint8, &shape)?))
    }

    /// The rows of the tensor `name` of shape `[rows, columns]`, to be read from its file one by one.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub(crate) fn take_rows(&mut self, name: &str, [rows, columns]: [i64; 2]) -> Result<FileRows> {
        let found = self.find(name, &[rows, columns])?;
        Ok(FileRows::new(self.read(&found, ArenaAddress::Host(0)), [rows, columns]))
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
        Ok(Found { name: name.to_owned(), file, stored })
    }

    /// How a tensor is read to an address.
    fn read(&self, Found { name, file, stored }: &Found, address: ArenaAddress) -> Read {
        let rounded = self.blocks.form.int8
            && becomes_int8(self.index.component, name)
            && stored.as_int8().is_some();
        Read {
            file: Arc::clone(&self.index.files[*file]),
            stored: stored.clone(),
            to: self.target.kind,
            int8: rounded.then_some(Int8::Rounded),
            address,
        }
    }

    /// Creates the arena, for all tensors that are left and `taken` bytes of those that are not.
    fn need_arena(&mut self, taken: usize) -> Result<()> {
        if self.arena.is_some() {
            return Ok(());
        }
        let in_file = |name: &str| self.is_streaming() && name.ends_with(MODULATION);
        let left = self.index.tensors.iter();
        let left = left.filter(|(name, _)| !self.blocks.streams(name) && !in_file(name));
        // Of an encoding that is not read, none can be taken.
        let left = left.filter(|(_, (_, s))| !matches!(s.encoding, Encoding::Unsupported(_)));
        let left = left.map(|(name, (_, stored))| self.bytes_at_most(name, stored));
        self.bytes = aligned(left.sum::<usize>() + aligned(taken).max(1));
        self.arena = Some(self.loader.arena(self.target.device, self.bytes)?);
        Ok(())
    }

    /// The most bytes of the arena that a tensor takes.
    fn bytes_at_most(&self, name: &str, stored: &StoredTensor) -> usize {
        bytes_at_most(name, stored, self.blocks.form, self.target.kind)
    }

    // A file has no more numbers than four a byte, so this cannot overflow.
    fn expanded_bytes(&self, stored: &StoredTensor) -> usize {
        stored.numbers() as usize * self.target.kind.elt_size_in_bytes()
    }

    /// Places the tensors at the next address of the arena, as one tensor of this shape.
    fn place(&mut self, found: &[Found], shape: &[i64]) -> Result<Tensor> {
        let taken = found.iter().map(|found| self.bytes_at_most(&found.name, &found.stored)).sum();
        self.need_arena(taken)?;
        let begin = self.used;
        let mut end = begin;
        for found in found {
            let Some((arena, _)) = &self.arena else {
                return Err(Error::Internal("the weights have no memory".to_owned()));
            };
            let Found { name, stored, .. } = found;
            // Writing to a string cannot fail.
            let _ = writeln!(self.layout, "{end} {:?} {:?} {name}", self.target.kind, stored.shape);
            let read = self.read(found, arena.address(end));
            self.reads.push(read);
            end += self.expanded_bytes(stored);
        }
        self.used = aligned(end);
        match &self.arena {
            Some((arena, _)) => arena.view(begin, end - begin, self.target.kind, shape),
            None => Err(Error::Internal("the weights have no memory".to_owned())),
        }
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
