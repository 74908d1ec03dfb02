//! The weights of one component: each tensor is placed in an arena before its bytes are read.
//!
//! [`Weights::take`] states a tensor's name and shape, and returns a view of its place in the arena.
//! The [`Loader`] then reads all bytes at once with many threads.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::digest::sha256;
use zimage_checkpoint::{Checkpoint, Component, Encoding, StoredTensor, TensorIndex};

use super::arena::{Arena, ArenaAddress, aligned};
use super::file_rows::FileRows;
use super::loader::Loader;
use super::reader::Read;
use super::retained::ComponentManifest;
use super::streaming::{BlockBuilder, Matrix, Pass, StreamedBlock, Streamer};
use crate::error::Result;

/// The device and the kind of loaded tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The device.
    pub device: Device,
    /// The kind that they are cast to.
    pub kind: Kind,
}

/// Which blocks of a model are streamed, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streaming<'a> {
    pub(crate) streamer: &'a Rc<Streamer>,
    /// The names of the blocks, without the last dot.
    pub(crate) blocks: &'a BTreeSet<String>,
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
    /// If any block of the model is streamed.
    streaming: Option<Streaming<'a>>,
    /// The block whose matrices are taken now, if it is streamed.
    block: Option<BlockBuilder>,
}

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
            streaming: None,
            block: None,
        }
    }

    /// The same with the matrices of some blocks streamed.
    pub(crate) fn streaming(mut self, streaming: Option<Streaming<'a>>) -> Self {
        self.streaming = streaming;
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

    /// Whether any of its blocks is streamed.
    pub(crate) fn streams_any(&self) -> bool {
        self.streaming.is_some() && self.index.tensors.keys().any(|name| self.streams(name))
    }

    /// Begins the block `name`: until [`Weights::end_block`], matrices are streamed if it is.
    pub(crate) fn begin_block(&mut self, name: &str, pass: Pass) {
        let streaming = self.streaming.filter(|streaming| streaming.blocks.contains(name));
        self.block = streaming.map(|streaming| BlockBuilder::new(streaming.streamer, pass));
    }

    /// Ends the block; there is a result if it is streamed.
    pub(crate) fn end_block(&mut self) -> Option<StreamedBlock> {
        self.block.take().map(BlockBuilder::finish)
    }

    /// As [`Weights::take_joined`] for matrices with `inputs` columns, which may be streamed.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub(crate) fn take_matrix<S: AsRef<str>>(
        &mut self,
        parts: &[(S, i64)],
        inputs: i64,
    ) -> Result<Matrix> {
        let Some(mut block) = self.block.take() else {
            return Ok(Matrix::Resident(self.take_joined(parts, &[inputs])?));
        };
        let mut reads = Vec::with_capacity(parts.len());
        let mut outputs = 0;
        for (name, rows) in parts {
            let found = self.find(name.as_ref(), &[*rows, inputs])?;
            reads.push(self.read(&found, block.placeholder()));
            outputs += rows;
        }
        let matrix = block.add(reads, self.target.kind, &[outputs, inputs])?;
        self.block = Some(block);
        Ok(Matrix::Streamed(matrix))
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
    fn read(&self, Found { file, stored, .. }: &Found, address: ArenaAddress) -> Read {
        Read {
            file: Arc::clone(&self.index.files[*file]),
            stored: stored.clone(),
            to: self.target.kind,
            address,
        }
    }

    /// Whether a tensor is a matrix of a streamed block, which has no place in the arena.
    fn streams(&self, name: &str) -> bool {
        let Some(Streaming { blocks, .. }) = self.streaming else { return false };
        let part = |(group, rest): (&str, &str)| {
            let (number, part) = rest.split_once('.')?;
            blocks.contains(&format!("{group}.{number}")).then(|| part.to_owned())
        };
        let part = name.split_once('.').and_then(part);
        part.is_some_and(|part| is_block_matrix(&part))
    }

    /// Places the tensors at the next address of the arena, as one tensor of this shape.
    fn place(&mut self, found: &[Found], shape: &[i64]) -> Result<Tensor> {
        let width = self.target.kind.elt_size_in_bytes();
        // A file has no more numbers than four a byte, so this cannot overflow.
        let bytes = |stored: &StoredTensor| stored.numbers() as usize * width;
        let arena = match self.arena.take() {
            Some(arena) => arena,
            None => {
                let left = self.index.tensors.iter().filter(|(name, _)| !self.streams(name));
                // Of an encoding that is not read, none can be taken.
                let left =
                    left.filter(|(_, (_, s))| !matches!(s.encoding, Encoding::Unsupported(_)));
                let left = left.map(|(_, (_, s))| aligned(bytes(s)));
                let taken = found.iter().map(|f| aligned(bytes(&f.stored)));
                self.bytes = aligned(left.chain(taken).sum::<usize>().max(1));
                self.loader.arena(self.target.device, self.bytes)?
            }
        };
        let (arena, _) = self.arena.insert(arena);
        let begin = self.used;
        let mut end = begin;
        for Found { name, file, stored } in found {
            // Writing to a string cannot fail.
            let _ = writeln!(self.layout, "{end} {:?} {:?} {name}", self.target.kind, stored.shape);
            self.reads.push(Read {
                file: Arc::clone(&self.index.files[*file]),
                stored: stored.clone(),
                to: self.target.kind,
                address: arena.address(end),
            });
            end += bytes(stored);
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

/// Whether a block of the transformer or the text encoder has a matrix of this name, as opposed to
/// norms and modulation, which are small.
pub(crate) fn is_block_matrix(name: &str) -> bool {
    const GROUPS: [&str; 4] = ["attention", "feed_forward", "self_attn", "mlp"];
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [group, part, "weight"] => GROUPS.contains(&group) && !part.contains("norm"),
        ["attention", "to_out", "0", "weight"] => true,
        _ => false,
    }
}
