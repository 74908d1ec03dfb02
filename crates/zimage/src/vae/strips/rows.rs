//! Maps of which rows can be had: stored ones, and virtual ones whose rows are computed when asked for.

use std::ops::Range;

use tch::{Device, Tensor};
use zimage_cuda::{Moments, NormCoefficients};

use crate::error::{Error, Result};
use crate::ops::{Map, MapShape, Ops, empty_image, image_rows};
use crate::vae::cut::{Cut, rows_of};
use crate::vae::layers::{Conv, Ends};

/// A map that may not exist as a whole.
pub(super) trait Rows {
    fn shape(&self) -> Result<MapShape>;

    fn device(&self) -> Device;

    /// The pending bias of all rows.
    fn bias(&self) -> Option<&Tensor>;

    /// Some rows, with the pending bias.
    fn rows(&self, ops: &Ops, rows: &Range<i64>) -> Result<Map>;

    /// The moments of the whole map, strip by strip.
    fn moments(&self, ops: &Ops, cut: Cut) -> Result<Moments> {
        let shape = self.shape()?;
        let pieces = ops.pieces(shape, self.device());
        let parts = cut.strips_of_pieces(shape, pieces).map(|positions| {
            // A piece may end within a row, which the next strip then computes again.
            let rows = rows_of(&positions, shape.w);
            let first = rows.start * shape.w;
            let map = self.rows(ops, &rows)?;
            ops.moments_of(&map, positions.start - first..positions.end - first, pieces)
        });
        Ok(Moments::join(&parts.collect::<Result<Vec<_>>>()?)?)
    }

    /// The map stored whole.
    fn stored(&self, ops: &Ops, cut: Cut) -> Result<Map> {
        let shape = self.shape()?;
        let mut stored = None;
        for rows in cut.strips(shape) {
            let strip = self.rows(ops, &rows)?;
            let values = match stored.take() {
                Some(values) => values,
                None => empty_image(strip.values(), shape.h)?,
            };
            image_rows(&values, &rows)?.f_copy_(strip.values())?;
            stored = Some(values);
        }
        let values = stored.ok_or_else(|| Error::Internal("a map has no rows".to_owned()))?;
        Ok(Map::new(values, self.bias().map(Tensor::shallow_clone)))
    }
}

impl Rows for Map {
    fn shape(&self) -> Result<MapShape> {
        self.shape()
    }

    fn device(&self) -> Device {
        self.values().device()
    }

    fn bias(&self) -> Option<&Tensor> {
        self.bias()
    }

    fn rows(&self, _: &Ops, rows: &Range<i64>) -> Result<Map> {
        self.rows(rows)
    }

    fn moments(&self, ops: &Ops, _: Cut) -> Result<Moments> {
        ops.moments(self)
    }
}

/// The convolution of the SiLU of a norm.
#[derive(Clone, Copy)]
pub(super) struct Convolved<'a> {
    pub(super) input: &'a dyn Rows,
    pub(super) norm: &'a NormCoefficients,
    pub(super) conv: &'a Conv,
}

impl Rows for Convolved<'_> {
    fn shape(&self) -> Result<MapShape> {
        Ok(MapShape { channels: self.conv.outputs(), ..self.input.shape()? })
    }

    fn device(&self) -> Device {
        self.input.device()
    }

    fn bias(&self) -> Option<&Tensor> {
        self.conv.pending_bias()
    }

    fn rows(&self, ops: &Ops, rows: &Range<i64>) -> Result<Map> {
        let reached = Reached::by(rows, self.shape()?.h);
        let input = self.input.rows(ops, &reached.rows)?;
        let normed = ops.normed(&input, self.norm, true)?;
        drop(input);
        self.conv.forward_rows(&normed, reached.ends, Cut::convolved_rows(self.shape()?))
    }
}

/// The convolution of a map that is upsampled by two.
#[derive(Clone, Copy)]
pub(super) struct Doubled<'a> {
    pub(super) input: &'a Map,
    pub(super) conv: &'a Conv,
}

impl Rows for Doubled<'_> {
    fn shape(&self) -> Result<MapShape> {
        let MapShape { h, w, .. } = self.input.shape()?;
        Ok(MapShape { channels: self.conv.outputs(), h: 2 * h, w: 2 * w })
    }

    fn device(&self) -> Device {
        self.input.values().device()
    }

    fn bias(&self) -> Option<&Tensor> {
        self.conv.pending_bias()
    }

    fn rows(&self, ops: &Ops, rows: &Range<i64>) -> Result<Map> {
        let reached = Reached::by(rows, self.shape()?.h);
        let Range { start, end } = reached.rows;
        let halves = start / 2..(end + 1) / 2;
        let doubled = ops.upsample(&self.input.rows(&halves)?)?;
        let first = start - 2 * halves.start;
        let doubled = image_rows(&doubled, &(first..first + end - start))?;
        self.conv.forward_rows(&doubled, reached.ends, Cut::convolved_rows(self.shape()?))
    }
}

/// Rows that a convolution over three rows reads for some of its output.
struct Reached {
    rows: Range<i64>,
    ends: Ends,
}

impl Reached {
    /// By these rows of a map of `h`.
    fn by(rows: &Range<i64>, h: i64) -> Self {
        let (start, end) = ((rows.start - 1).max(0), (rows.end + 1).min(h));
        let ends = Ends { above: start - (rows.start - 1), below: rows.end + 1 - end };
        Self { rows: start..end, ends }
    }
}
