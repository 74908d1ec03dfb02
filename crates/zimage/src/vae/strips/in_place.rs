//! Writing over a map strip by strip, while the strips that follow still read what was there.

use std::ops::Range;

use tch::{Device, Tensor};
use zimage_cuda::Moments;

use super::rows::Rows;
use crate::error::Result;
use crate::ops::{Map, MapShape, Ops, copy_image, image_rows, stack_images, to_rows};
use crate::vae::cut::{Cut, rows_of};

/// A map that is written over from the top. As [`Rows`] it has the rows that were there before.
pub(super) struct InPlace {
    map: Map,
    /// Rows above a strip that the strip reads.
    halo: i64,
    /// The first row of which nothing is written.
    unwritten: i64,
    /// The old rows before that one that are still read, and the first of them.
    old: Option<(i64, Tensor)>,
}

impl InPlace {
    pub(super) fn new(map: Map, halo: i64) -> Self {
        Self { map, halo, unwritten: 0, old: None }
    }

    /// Writes a sum over the map: `terms` are the two terms at some rows. Both may read the old map, at
    /// these rows, `halo` rows above them, and all rows below.
    pub(super) fn write_sum(
        mut self,
        ops: &Ops,
        cut: Cut,
        terms: impl Fn(&Self, &Range<i64>) -> Result<(Map, Map)>,
    ) -> Result<Map> {
        let shape = self.map.shape()?;
        let pieces = ops.pieces(shape, self.device());
        let mut moments = Vec::new();
        for positions in cut.strips_of_pieces(shape, pieces) {
            let rows = rows_of(&positions, shape.w);
            let (x, y) = terms(&self, &rows)?;
            let first = rows.start * shape.w;
            let part = positions.start - first..positions.end - first;
            let (sum, known) = ops.add_positions(&x, &y, part, pieces)?;
            drop((x, y));
            moments.extend(known);
            self.write(&positions, &sum, shape)?;
        }
        let moments = if moments.is_empty() { None } else { Some(Moments::join(&moments)?) };
        Ok(Map::new(self.map.values().shallow_clone(), None).with_moments(moments))
    }

    fn write(&mut self, positions: &Range<i64>, sum: &Tensor, shape: MapShape) -> Result<()> {
        let end = rows_of(positions, shape.w).end;
        // The last row may be written in part; the next strip begins there, and reads all of it.
        let next = positions.end / shape.w;
        let still_read = (next - self.halo).max(0)..end;
        let copy = copy_image(&self.old_rows(&still_read)?)?;
        if is_whole(positions, shape) {
            let rows = positions.start / shape.w..end;
            image_rows(self.map.values(), &rows)?.f_copy_(sum)?;
        } else {
            let count = positions.end - positions.start;
            let place = to_rows(self.map.values())?.f_narrow(0, positions.start, count);
            place?.f_copy_(&to_rows(sum)?)?;
        }
        (self.old, self.unwritten) = (Some((still_read.start, copy)), end);
        Ok(())
    }

    /// The values that rows had before they were written.
    fn old_rows(&self, rows: &Range<i64>) -> Result<Tensor> {
        let values = self.map.values();
        let Some((first, old)) = self.old.as_ref().filter(|_| rows.start < self.unwritten) else {
            return image_rows(values, rows);
        };
        let end = rows.end.min(self.unwritten);
        let above = image_rows(old, &(rows.start - first..end - first))?;
        if end == rows.end {
            return Ok(above);
        }
        stack_images(&[above, image_rows(values, &(end..rows.end))?])
    }
}

impl Rows for InPlace {
    fn shape(&self) -> Result<MapShape> {
        self.map.shape()
    }

    fn device(&self) -> Device {
        self.map.values().device()
    }

    fn bias(&self) -> Option<&Tensor> {
        self.map.bias()
    }

    fn rows(&self, _: &Ops, rows: &Range<i64>) -> Result<Map> {
        Ok(Map::new(self.old_rows(rows)?, self.bias().map(Tensor::shallow_clone)))
    }
}

fn is_whole(positions: &Range<i64>, shape: MapShape) -> bool {
    positions.start % shape.w == 0 && positions.end % shape.w == 0
}
