//! The memory of side products: its shape follows from the ranks alone, so that adapters of the same ranks
//! have the same memory, and a CUDA graph that was captured with one replays with another.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use zimage_cuda::Float8Rows;

use super::load::{LoadedAdapter, LoadedDelta, LoadedForm};
use super::maps::VisitedMap;
use crate::error::Result;
use crate::nn::{Kronecker, LowRank, Side, Up};
use crate::ops::float8;

/// Ranks are padded to a multiple of this: products in float8 need it, and more adapters share memory.
const RANK_MULTIPLE: i64 = 16;

/// The shape of one map's side products.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SidePlan {
    /// Of each part that has a low-rank term: first row, rows, ranks with padding.
    parts: Vec<(i64, i64, i64)>,
    bias: bool,
    /// Whether there is something whose memory is not shared: Kronecker products, factors, differences.
    pub(super) own: bool,
}

/// A part of a map: its name and rows, and the changes of each adapter with its weight.
pub(super) struct PartChanges<'a> {
    row: i64,
    rows: i64,
    changes: Vec<(&'a LoadedDelta, f64)>,
}

/// The changes of each part of a map; none if there are none.
pub(super) fn changes<'a>(
    visited: &VisitedMap<'_>,
    adapters: &'a [(Rc<LoadedAdapter>, f32)],
) -> Option<Vec<PartChanges<'a>>> {
    let mut row = 0;
    let mut parts = Vec::new();
    for (name, rows) in &visited.map.adapted().parts {
        let changes = adapters
            .iter()
            .filter(|(_, weight)| *weight != 0.0)
            .filter_map(|(adapter, weight)| Some((adapter.deltas.get(name)?, f64::from(*weight))));
        parts.push(PartChanges { row, rows: *rows, changes: changes.collect() });
        row += rows;
    }
    parts.iter().any(|part| !part.changes.is_empty()).then_some(parts)
}

impl PartChanges<'_> {
    /// The low-rank terms with their weights.
    fn low_rank(&self) -> impl Iterator<Item = (&Tensor, &Tensor, f64)> {
        self.changes.iter().filter_map(|(delta, weight)| match &delta.form {
            Some(LoadedForm::LowRank(down, up)) => Some((down, up, *weight)),
            _ => None,
        })
    }
}

impl SidePlan {
    pub(super) fn of(parts: &[PartChanges<'_>]) -> Self {
        let mut plan = Self::default();
        for part in parts {
            let ranks: i64 = part.low_rank().map(|(down, ..)| down.size()[0]).sum();
            if ranks > 0 {
                let padded = (ranks as u64).next_multiple_of(RANK_MULTIPLE as u64) as i64;
                plan.parts.push((part.row, part.rows, padded));
            }
            for (delta, _) in &part.changes {
                plan.bias |= delta.bias.is_some();
                plan.own |= delta.factors.is_some()
                    || matches!(delta.form, Some(LoadedForm::Kronecker(..) | LoadedForm::Dense(_)));
            }
        }
        plan
    }

    /// Memory of this shape for a map of so many inputs.
    pub(super) fn allocate(
        &self,
        visited: &VisitedMap<'_>,
        inputs: i64,
        (kind, device): (Kind, Device),
    ) -> Result<Side> {
        let options = (kind, device);
        let mut side = Side::default();
        let all: i64 = self.parts.iter().map(|(_, _, ranks)| ranks).sum();
        if all > 0 {
            let down = Tensor::f_zeros([all, inputs], options)?;
            let takes_float8 = visited.map.takes_float8();
            let mut first = 0;
            let mut ups = Vec::new();
            for &(row, rows, ranks) in &self.parts {
                let matrix = Tensor::f_zeros([rows, ranks], options)?;
                ups.push(Up { rows: (row, rows), ranks: (first, ranks), matrix });
                first += ranks;
            }
            let down_float8 = takes_float8.then(|| float8::rows(&down)).transpose()?;
            side.low_rank = Some(LowRank { down, down_float8, ups });
        }
        if self.bias {
            let outputs: i64 = visited.map.adapted().parts.iter().map(|(_, rows)| rows).sum();
            side.bias = Some(Tensor::f_zeros([outputs], options)?);
        }
        Ok(side)
    }
}

/// Writes the changes of a map to its memory.
pub(super) fn fill(
    side: &mut Side,
    visited: &VisitedMap<'_>,
    parts: &[PartChanges<'_>],
) -> Result<()> {
    if let Some(low) = &side.low_rank {
        fill_low_rank(low, parts)?;
    }
    if let Some(bias) = &side.bias {
        let _ = bias.shallow_clone().f_zero_()?;
        for part in parts {
            let rows = bias.f_narrow(0, part.row, part.rows)?;
            for (delta, weight) in &part.changes {
                if let Some(bias) = &delta.bias {
                    let added = bias.f_mul_scalar(*weight * visited.factor)?;
                    let _ = rows.shallow_clone().f_add_(&added)?;
                }
            }
        }
    }
    side.kronecker.clear();
    side.dense.clear();
    side.factors = None;
    for part in parts {
        for (delta, weight) in &part.changes {
            match &delta.form {
                Some(LoadedForm::Kronecker(w1, w2)) => side.kronecker.push(Kronecker {
                    row: part.row,
                    w1: w1.f_mul_scalar(*weight)?,
                    w2: w2.shallow_clone(),
                }),
                Some(LoadedForm::Dense(all)) => {
                    side.dense.push((part.row, all.f_mul_scalar(*weight)?));
                }
                Some(LoadedForm::LowRank(..)) | None => {}
            }
        }
    }
    side.factors = factors(visited, parts)?;
    Ok(())
}

fn fill_low_rank(low: &LowRank, parts: &[PartChanges<'_>]) -> Result<()> {
    for up in &low.ups {
        let Some(part) = parts.iter().find(|part| part.row == up.rows.0) else { continue };
        let mut at = 0;
        for (down, matrix, weight) in part.low_rank() {
            let rank = down.size()[0];
            low.down.f_narrow(0, up.ranks.0 + at, rank)?.f_copy_(down)?;
            up.matrix.f_narrow(1, at, rank)?.f_copy_(&matrix.f_mul_scalar(weight)?)?;
            at += rank;
        }
        let padding = up.ranks.1 - at;
        if padding > 0 {
            let _ = low.down.f_narrow(0, up.ranks.0 + at, padding)?.f_zero_()?;
            let _ = up.matrix.f_narrow(1, at, padding)?.f_zero_()?;
        }
    }
    if let Some(Float8Rows { values, scales }) = &low.down_float8 {
        let rows = float8::rows(&low.down)?;
        values.shallow_clone().f_copy_(&rows.values)?;
        scales.shallow_clone().f_copy_(&rows.scales)?;
    }
    Ok(())
}

/// The factors of a map's own rows: 1 and, of each adapter, what its factor is above 1.
fn factors(visited: &VisitedMap<'_>, parts: &[PartChanges<'_>]) -> Result<Option<Tensor>> {
    let some = parts.iter().flat_map(|part| &part.changes).find_map(|(d, _)| d.factors.as_ref());
    let Some(some) = some else { return Ok(None) };
    let outputs: i64 = visited.map.adapted().parts.iter().map(|(_, rows)| rows).sum();
    let all = Tensor::f_ones([outputs], (Kind::Float, some.device()))?;
    for part in parts {
        let rows = all.f_narrow(0, part.row, part.rows)?;
        for (delta, weight) in &part.changes {
            if let Some(factors) = &delta.factors {
                let _ = rows.shallow_clone().f_add_(&factors.f_mul_scalar(*weight)?)?;
            }
        }
    }
    Ok(Some(all))
}
