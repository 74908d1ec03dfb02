//! Matrices that a file has as float8 with a scale for each row: multiplied as they are.

use tch::{Kind, Tensor};
use zimage_checkpoint::{Encoding, Number, ScaleScope, ScaledFormat, StoredTensor};
use zimage_cuda::Float8Rows;

use super::packed::{Stretches, stretch};
use super::streaming::Placed;
use crate::error::{Error, Result};

/// Scales begin at a multiple of this.
const ALIGNMENT: usize = 256;

/// Where the numbers and scales of a float8 matrix lie: those of all its tensors side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Float8Layout {
    outputs: i64,
    inputs: i64,
}

/// Whether numbers are float8 (e4m3) with a scale for each row.
pub(super) fn is_rows(encoding: Encoding) -> bool {
    encoding == Encoding::Scaled(ScaledFormat::Float8(Number::F8E4m3, ScaleScope::Row))
}

impl Float8Layout {
    /// The layout of tensors one above the other, and what is read of each to where; none if any of
    /// them is not float8 (e4m3) with a scale for each row.
    pub(super) fn new(tensors: &[&StoredTensor], inputs: i64) -> Option<(Self, Vec<Stretches>)> {
        let rows = |stored: &StoredTensor| stored.shape.first().copied().unwrap_or(0);
        let layout = Self { outputs: tensors.iter().map(|stored| rows(stored)).sum(), inputs };
        let mut first = 0;
        let mut reads = Vec::new();
        for stored in tensors {
            let piece = stored.piece().filter(|piece| is_rows(piece.encoding))?;
            let [values, scales, ..] = *piece.parts();
            reads.push(vec![
                stretch(first * inputs as usize, values),
                stretch(layout.scales() + first * 4, scales),
            ]);
            first += rows(stored) as usize;
        }
        Some((layout, reads))
    }

    /// Bytes of numbers and scales.
    pub(super) fn bytes(self) -> usize {
        self.scales() + self.outputs as usize * 4
    }

    /// Where the scales begin.
    fn scales(self) -> usize {
        ((self.outputs * self.inputs) as usize).next_multiple_of(ALIGNMENT)
    }

    /// The matrix whose bytes these are.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn rows(self, bytes: Placed<Tensor>) -> Result<Placed<Float8Rows>> {
        let Self { outputs, inputs } = self;
        bytes.map(|bytes| {
            let values = bytes.f_narrow(0, 0, outputs * inputs)?;
            let scales = bytes.f_narrow(0, self.scales() as i64, outputs * 4)?;
            Ok::<_, Error>(Float8Rows {
                values: values.f_view_dtype(Kind::Float8e4m3fn)?.f_view([outputs, inputs])?,
                scales: scales.f_view_dtype(Kind::Float)?.f_view([outputs, 1])?,
            })
        })
    }
}
