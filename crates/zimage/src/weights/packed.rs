//! Packed matrices: their numbers stay on the device as the file encodes them, and are expanded just
//! before each product.
//!
//! Expanding costs one pass over the matrix, some 7 ms of a step of 85 at the real size on a
//! Hopper GPU, and saves half to three quarters of the weights' memory.

use std::sync::Once;

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::{Part, Piece, StoredTensor};
use zimage_cuda::Expander;

use super::cast;
use super::int8::Int8;
use super::streaming::Placed;
use crate::error::{Error, Result};

/// The bytes of some tensors, one above the other in one matrix.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    /// Uint8.
    bytes: Placed<Tensor>,
    layout: PackedLayout,
    inputs: i64,
    kind: Kind,
}

/// Where the parts of a packed matrix lie.
#[derive(Clone, Debug)]
pub(super) struct PackedLayout {
    parts: Vec<PackedPart>,
    /// Bytes of all parts.
    pub(super) bytes: usize,
    /// Rows of all parts.
    pub(super) outputs: i64,
}

/// One tensor of the file.
#[derive(Clone, Debug)]
struct PackedPart {
    piece: Piece,
    /// Its place among the matrix's bytes.
    at: usize,
    rows: i64,
}

/// What is read of a tensor, and where it lies among a matrix's bytes.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) at: usize,
    pub(super) stored: StoredTensor,
    /// If 8-bit integers are made of it: else its bytes stay as they are.
    pub(super) int8: Option<Int8>,
}

/// The stretches of one tensor.
pub(super) type Stretches = Vec<Stretch>;

/// Kernels are compiled once a process, beside what loading does.
static COMPILING: Once = Once::new();
/// Parts begin at multiples of this: kernels load them in vectors.
const ALIGNMENT: usize = 256;

impl PackedLayout {
    /// The layout of tensors one above the other, and what is read of each to where; none if an
    /// encoding is not read. With `int8`, plain ones become 8-bit integers.
    pub(super) fn new(tensors: &[&StoredTensor], int8: bool) -> Option<(Self, Vec<Stretches>)> {
        let mut layout = Self { parts: Vec::new(), bytes: 0, outputs: 0 };
        let mut reads = Vec::new();
        for stored in tensors {
            let at = layout.bytes.next_multiple_of(ALIGNMENT);
            let made = stored.as_int8().filter(|_| int8);
            let piece = match &made {
                Some(made) => made.piece()?,
                None => stored.piece()?,
            };
            reads.push(if made.is_some() {
                let int8 = Some(Int8::Rows { scales: piece.parts()[1].at });
                vec![Stretch { at, stored: (*stored).clone(), int8 }]
            } else {
                let parts = piece.parts().iter().filter(|part| part.bytes > 0);
                parts.map(|part| stretch(at + part.at, *part)).collect()
            });
            layout.bytes = at + piece.bytes();
            let rows = stored.shape.first().copied().unwrap_or(1);
            layout.outputs += rows;
            layout.parts.push(PackedPart { piece, at, rows });
        }
        Some((layout, reads))
    }
}

/// A part's bytes as a tensor of the file.
pub(super) fn stretch(at: usize, part: Part) -> Stretch {
    let stored = StoredTensor {
        encoding: cast::BYTES,
        shape: vec![part.bytes as i64],
        offset: part.offset,
        bytes: part.bytes as u64,
        first_row: 0,
        companions: Vec::new(),
    };
    Stretch { at, stored, int8: None }
}

/// The most bytes that a tensor takes packed, beside others in one matrix; with `int8`, as integers if
/// it is plain.
pub(super) fn bytes_at_most(stored: &StoredTensor, int8: bool) -> usize {
    let made = stored.as_int8().filter(|_| int8);
    made.as_ref().unwrap_or(stored).piece().map_or(0, |piece| piece.bytes()) + ALIGNMENT
}

impl PackedMatrix {
    pub(super) fn new(
        bytes: Placed<Tensor>,
        layout: PackedLayout,
        (inputs, kind): (i64, Kind),
    ) -> Self {
        if let Device::Cuda(ordinal) = bytes.get().device() {
            // Also where the weights are retained: the first product would wait for it.
            COMPILING.call_once(|| Expander::start_compiling(ordinal));
        }
        Self { bytes, layout, inputs, kind }
    }

    /// Whether it is on the device only while its block is acquired.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self.bytes, Placed::Streamed(_))
    }

    /// `[outputs, inputs]` in the kind of products, in memory of its own.
    ///
    /// # Errors
    /// When the GPU's memory is too small, or it has no kernels.
    pub(crate) fn expand(&self) -> Result<Tensor> {
        let bytes = self.bytes.get();
        let device = bytes.device();
        let shape = [self.layout.outputs, self.inputs];
        let out = Tensor::f_empty(shape, (self.kind, device))?;
        let mut first = 0;
        for PackedPart { piece, at, rows } in &self.layout.parts {
            let from = bytes.f_narrow(0, *at as i64, piece.bytes() as i64)?;
            let mut to = out.f_narrow(0, first, *rows)?;
            first += rows;
            if let Some(kind) = cast::kind_of(piece.encoding) {
                to.f_copy_(&from.f_view_dtype(kind)?.f_view([*rows, self.inputs])?)?;
                continue;
            }
            match device {
                Device::Cuda(ordinal) => {
                    let expander = Expander::shared(ordinal).ok_or_else(|| {
                        Error::Device("packed weights need the kernel compiler, NVRTC".to_owned())
                    })?;
                    expander.expand(piece, &from, &to)?;
                }
                _ => {
                    let from: Vec<u8> = (&from).try_into()?;
                    let mut numbers = vec![0; piece.numbers() * self.kind.elt_size_in_bytes()];
                    cast::expand(piece, &from, &mut numbers, self.kind)?;
                    let shape = [*rows, self.inputs];
                    to.f_copy_(&Tensor::f_from_data_size(&numbers, &shape, self.kind)?)?;
                }
            }
        }
        Ok(out)
    }
}
