//! The matrices of blocks: the form in which each stays on the device, and which parts are streamed.

use std::collections::BTreeSet;
use std::rc::Rc;

use tch::{Kind, Tensor};
use zimage_checkpoint::{BlockPart, StoredTensor};
use zimage_cuda::Float8Rows;

use super::arena::aligned;
use super::cast;
use super::float8::{self, Float8Layout};
use super::packed::{self, PackedLayout, PackedMatrix, Stretches};
use super::streaming::{PartBuilder, Pass, Placed, StreamedPart, Streamer};

/// A matrix of a block, in the form in which it stays on the device.
#[derive(Debug)]
pub(crate) enum BlockMatrix {
    /// In the kind of products, `[outputs, inputs]`.
    Dense(Placed<Tensor>),
    /// As the file encodes it.
    Packed(PackedMatrix),
    /// For products in float8.
    Float8(Placed<Float8Rows>),
}

/// The form in which matrices of blocks stay on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Quantised ones as the file encodes them, instead of expanded.
    pub(crate) packed: bool,
    /// Those of the main layers that the file has as float8 rows, for products in float8.
    pub(crate) float8: bool,
    /// Plain ones as 8-bit integers, and quantised ones as the file encodes them.
    pub(crate) int8: bool,
}

impl Form {
    /// The form of the text encoder beside this one of the transformer.
    pub(crate) fn of_text(self) -> Self {
        Self { float8: false, int8: false, ..self }
    }
}

/// The name of a block, without the last dot, and a part of it.
pub(crate) type PartName = (String, BlockPart);

/// Which parts of a model's blocks are streamed, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streaming<'a> {
    pub(crate) streamer: &'a Rc<Streamer>,
    pub(crate) parts: &'a BTreeSet<PartName>,
}

/// The blocks of one component, a part of one of which may be under construction.
#[derive(Debug, Default)]
pub(super) struct Blocks<'a> {
    /// If any part of the model is streamed.
    pub(super) streaming: Option<Streaming<'a>>,
    pub(super) form: Form,
    /// The part whose matrices are taken now, if it is streamed.
    streamed: Option<PartBuilder>,
    /// Whether the block whose matrices are taken now is one whose products may be in float8.
    in_main_layers: bool,
}

/// Where the bytes of a matrix lie: those of its tensors one above the other.
#[derive(Debug)]
pub(super) enum MatrixLayout {
    Dense,
    Packed(PackedLayout, Vec<Stretches>),
    Float8(Float8Layout, Vec<Stretches>),
}

impl Blocks<'_> {
    /// Begins a part of the block `name`: until [`Blocks::end`], matrices are streamed if the part is.
    pub(super) fn begin(&mut self, (name, pass): (&str, Pass), part: BlockPart) {
        self.in_main_layers = is_main_layer(name);
        let name = (name.to_owned(), part);
        let streaming = self.streaming.filter(|streaming| streaming.parts.contains(&name));
        self.streamed = streaming.map(|streaming| PartBuilder::new(streaming.streamer, pass));
    }

    /// Ends the part; there is a result if it is streamed.
    pub(super) fn end(&mut self) -> Option<StreamedPart> {
        self.in_main_layers = false;
        self.streamed.take().map(PartBuilder::finish)
    }

    /// The part whose matrices are taken now, if it is streamed.
    pub(super) fn streamed(&mut self) -> Option<&mut PartBuilder> {
        self.streamed.as_mut()
    }

    /// Whether a tensor is a matrix of a streamed part, which has no place in the arena.
    pub(super) fn streams(&self, name: &str) -> bool {
        let Some(Streaming { parts, .. }) = self.streaming else { return false };
        part_of(name).is_some_and(|part| parts.contains(&part))
    }

    /// The layout of a matrix with `inputs` columns.
    pub(super) fn layout(&self, stored: &[&StoredTensor], inputs: i64) -> MatrixLayout {
        if self.form.float8
            && self.in_main_layers
            && let Some((layout, reads)) = Float8Layout::new(stored, inputs)
        {
            return MatrixLayout::Float8(layout, reads);
        }
        let Form { packed, int8, .. } = self.form;
        let is_quantised = |stored: &&StoredTensor| cast::kind_of(stored.encoding).is_none();
        if (int8 || packed && stored.iter().any(is_quantised))
            && let Some((layout, reads)) = PackedLayout::new(stored, int8)
        {
            return MatrixLayout::Packed(layout, reads);
        }
        MatrixLayout::Dense
    }
}

/// The part that a tensor of this name belongs to, if it is a matrix of a block.
pub(crate) fn part_of(name: &str) -> Option<PartName> {
    let mut words = name.splitn(3, '.');
    let (group, number, matrix) = (words.next()?, words.next()?, words.next()?);
    Some((format!("{group}.{number}"), BlockPart::of(matrix)?))
}

/// The most bytes that a matrix of the block `block` takes in a slot, alone or beside others.
pub(crate) fn bytes_in_slot(block: &str, stored: &StoredTensor, form: Form, kind: Kind) -> usize {
    let expanded = aligned(stored.numbers() as usize * kind.elt_size_in_bytes());
    let as_stored = aligned(packed::bytes_at_most(stored, form.int8));
    let is_float8 = form.float8 && is_main_layer(block) && float8::is_rows(stored.encoding);
    match cast::kind_of(stored.encoding) {
        _ if form.int8 => as_stored,
        None if form.packed || is_float8 => as_stored,
        // Beside quantised ones it stays as the file has it.
        Some(_) if form.packed => expanded.max(as_stored),
        _ => expanded,
    }
}

/// Whether a block of the transformer is one whose products may be in float8.
fn is_main_layer(block: &str) -> bool {
    block.starts_with("layers.")
}
