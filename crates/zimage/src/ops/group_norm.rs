//! Group norm of feature maps in two steps, so that a map which is never whole can be normed: the
//! moments of its pieces, and from them the same factor and offset for every position of a channel.
//!
//! What a piece is depends on the map's size alone, and no number depends on its neighbours in memory.
//! So a map in strips is normed like the whole map, to the bit.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
use zimage_cuda::{GroupNorm, Moments, NormCoefficients, Pieces};

use super::maps::{Map, MapShape};
use super::{Ops, from_rows, to_rows};
use crate::error::Result;

impl Ops {
    /// The pieces of a map of this shape.
    pub(crate) fn pieces(&self, shape: MapShape, device: Device) -> Pieces {
        let MapShape { channels, h, w } = shape;
        match self {
            Self::Fused(_) => Pieces::of_map(h * w, channels),
            Self::Eager => {
                let rows = (numbers_at_a_time(device) / (channels * w).max(1)).clamp(1, h.max(1));
                Pieces::new(h * w, rows * w)
            }
        }
    }

    /// The moments of a whole map, if they are not known already.
    pub(crate) fn moments(&self, x: &Map) -> Result<Moments> {
        if let Some(known) = x.moments() {
            return Ok(Moments::new(known.values().shallow_clone(), known.pieces()));
        }
        let shape = x.shape()?;
        let pieces = self.pieces(shape, x.values().device());
        self.moments_of(x, 0..shape.positions(), pieces)
    }

    /// The moments of some positions of `x`, which begin where one of `pieces` does. Fused, the pending
    /// bias is not in them.
    pub(crate) fn moments_of(
        &self,
        x: &Map,
        positions: Range<i64>,
        pieces: Pieces,
    ) -> Result<Moments> {
        let count = positions.end - positions.start;
        if let Self::Fused(kernels) = self {
            let rows = to_rows(x.values())?.f_narrow(0, positions.start, count)?;
            return Ok(kernels.moments(&rows, pieces)?);
        }
        let MapShape { channels, w, .. } = x.shape()?;
        let x = x.rows(&(positions.start / w..positions.end / w))?.complete()?;
        let parts = x.f_split(pieces.per_piece() / w, 2)?;
        let parts = parts.iter().map(|part| {
            // One after the other in memory, so that every piece is summed in the same order.
            let part = part.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([channels, -1])?;
            let mean = part.f_mean_dim(&[1i64][..], true, Kind::Float)?;
            let squares = part.f_sub(&mean)?.f_square_()?;
            let squares = squares.f_sum_dim_intlist(&[1i64][..], true, Kind::Float)?;
            Ok(Tensor::f_cat(&[mean, squares], 1)?)
        });
        let values = Tensor::f_stack(&parts.collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Moments::new(values, pieces.of_part(count)))
    }

    /// The norm of a map with these moments and this pending bias.
    pub(crate) fn norm_coefficients(
        &self,
        moments: &Moments,
        bias: Option<&Tensor>,
        norm: GroupNorm<'_>,
    ) -> Result<NormCoefficients> {
        match self {
            Self::Fused(kernels) => Ok(kernels.norm_coefficients(moments, bias, norm)?),
            Self::Eager => eager_coefficients(moments, norm),
        }
    }

    /// The norm of a map, or of any rows of it, then SiLU if `silu`: `[1, channels, h, w]`.
    pub(crate) fn normed(
        &self,
        x: &Map,
        coefficients: &NormCoefficients,
        silu: bool,
    ) -> Result<Tensor> {
        let Self::Fused(kernels) = self else {
            return eager_norm(&x.complete()?, coefficients, silu);
        };
        let MapShape { h, w, .. } = x.shape()?;
        from_rows(&kernels.group_norm(&to_rows(x.values())?, coefficients, silu)?, (h, w))
    }

    /// Norm over groups of channels, then SiLU if `silu`: `[1, channels, h, w]`.
    pub(crate) fn group_norm(&self, x: &Map, norm: GroupNorm<'_>, silu: bool) -> Result<Tensor> {
        let coefficients = self.norm_coefficients(&self.moments(x)?, x.bias(), norm)?;
        self.normed(x, &coefficients, silu)
    }
}

/// Numbers that a piece has at most, if it is not a single row: on a CPU what its caches hold.
fn numbers_at_a_time(device: Device) -> i64 {
    if device.is_cuda() { 1 << 23 } else { 1 << 18 }
}

/// In float64, as differences of means and squares lose digits.
fn eager_coefficients(moments: &Moments, norm: GroupNorm<'_>) -> Result<NormCoefficients> {
    let GroupNorm { weight, offset, groups, eps } = norm;
    let (count, channels, _) = moments.values().size3()?;
    let pieces = moments.pieces();
    let total = (pieces.positions() * (channels / groups)) as f64;
    let values = moments.values().f_to_kind(Kind::Double)?;
    let of = |what: i64| values.f_select(2, what)?.f_view([count, groups, channels / groups]);
    let (means, squares) = (of(0)?, of(1)?);
    let weights =
        Tensor::f_full([count, 1, 1], pieces.per_piece() as f64, (Kind::Double, values.device()))?;
    let rest = pieces.positions() - (count - 1) * pieces.per_piece();
    let _ = weights.f_narrow(0, count - 1, 1)?.f_fill_(rest as f64)?;
    let sum = |x: &Tensor| x.f_sum_dim_intlist(&[0i64, 2][..], true, Kind::Double);
    let mean = sum(&means.f_mul(&weights)?)?.f_div_scalar(total)?;
    let distances = means.f_sub(&mean)?.f_square()?.f_mul(&weights)?;
    let variance = sum(&squares.f_add(&distances)?)?.f_div_scalar(total)?;
    let by_group = |x: &Tensor| x.f_to_kind(Kind::Double)?.f_view([1, groups, channels / groups]);
    let factor = variance.f_add_scalar(eps)?.f_rsqrt()?.f_mul(&by_group(weight)?)?;
    let shift = by_group(offset)?.f_sub(&mean.f_mul(&factor)?)?;
    let both = Tensor::f_stack(&[factor.f_view([channels])?, shift.f_view([channels])?], 0)?;
    Ok(NormCoefficients(both.f_to_kind(Kind::Float)?))
}

/// The norm in float32, some channels at a time, so that what lies between the operations stays in
/// caches and takes little memory.
fn eager_norm(x: &Tensor, coefficients: &NormCoefficients, silu: bool) -> Result<Tensor> {
    let (_, channels, h, w) = x.size4()?;
    let coefficients = coefficients.0.f_view([2, 1, channels, 1, 1])?;
    let (factor, shift) = (coefficients.f_get(0)?, coefficients.f_get(1)?);
    let out = x.f_empty_like()?;
    let at_a_time = (numbers_at_a_time(x.device()) / (h * w).max(1)).clamp(1, channels);
    for first in (0..channels).step_by(at_a_time as usize) {
        let count = at_a_time.min(channels - first);
        let part = |x: &Tensor| x.f_narrow(1, first, count);
        let mut scaled = part(x)?.f_mul(&part(&factor)?)?;
        let scaled = scaled.f_add_(&part(&shift)?)?;
        let normed = if silu { silu_of(scaled)? } else { scaled };
        part(&out)?.f_copy_(&normed)?;
    }
    Ok(out)
}

/// `x / (1 + exp(-x))`.
///
/// On a CPU libtorch's own SiLU computes the last numbers of a thread's share with another exponential
/// function than those before, so its bits depend on a number's place in memory; those of `exp` do not.
fn silu_of(mut x: Tensor) -> Result<Tensor> {
    if x.device() != Device::Cpu {
        return Ok(x.f_silu_()?);
    }
    let divisor = x.f_neg()?.f_exp_()?.f_add_scalar_(1.0)?;
    Ok(x.f_div_(&divisor)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{image_rows, to_nhwc};

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn the_eager_norm_is_the_formula() {
        // The second has many pieces, and the last of them fewer rows.
        for (channels, h, w, groups) in [(12, 5, 3, 3), (8, 1030, 130, 4)] {
            let x = Tensor::randn([1, channels, h, w], FLOAT) * 2 + 7;
            let (weight, offset) =
                (Tensor::randn([channels], FLOAT), Tensor::randn([channels], FLOAT));
            let norm = GroupNorm { weight: &weight, offset: &offset, groups, eps: 1e-6 };
            let by_group = x.view([groups, -1]).to_kind(Kind::Double);
            let mean = by_group.mean_dim(&[1i64][..], true, Kind::Double);
            let var = (&by_group - &mean).square().mean_dim(&[1i64][..], true, Kind::Double);
            let normed = ((&by_group - &mean) / (var + 1e-6).sqrt()).view_as(&x);
            let want = normed * weight.view([1, -1, 1, 1]) + offset.view([1, -1, 1, 1]);
            for silu in [false, true] {
                let want = if silu { want.silu() } else { want.shallow_clone() };
                let got = Ops::Eager.group_norm(&Map::new(x.shallow_clone(), None), norm, silu);
                let got = got.unwrap().to_kind(Kind::Double);
                assert!(distance(&got, &want) < 1e-5, "{}", distance(&got, &want));
            }
        }
    }

    #[test]
    fn reduced_kinds_are_computed_in_float32() {
        for kind in [Kind::BFloat16, Kind::Half] {
            let x = (Tensor::randn([1, 8, 9, 7], FLOAT) * 3 - 1).to_kind(kind);
            let (weight, offset) = (Tensor::ones([8], FLOAT), Tensor::zeros([8], FLOAT));
            let norm = GroupNorm { weight: &weight, offset: &offset, groups: 2, eps: 1e-6 };
            let wide = Map::new(x.to_kind(Kind::Float), None);
            let want = Ops::Eager.group_norm(&wide, norm, true).unwrap().to_kind(kind);
            let got = Ops::Eager.group_norm(&Map::new(x, None), norm, true).unwrap();
            assert!(got.kind() == kind && got == want);
        }
    }

    #[test]
    fn moments_and_norms_of_parts_are_those_of_the_whole() {
        let (weight, offset) = (Tensor::randn([6], FLOAT), Tensor::randn([6], FLOAT));
        let norm = GroupNorm { weight: &weight, offset: &offset, groups: 3, eps: 1e-6 };
        for (h, w, per_piece) in [(7, 5, 1), (8, 13, 3), (11, 1, 2), (40, 37, 40)] {
            let x = Tensor::randn([1, 6, h, w], FLOAT) * 5 + 30;
            for x in [x.shallow_clone(), to_nhwc(&x).unwrap()] {
                let map = Map::new(x, None);
                let pieces = Pieces::new(h * w, per_piece * w);
                let whole = Ops::Eager.moments_of(&map, 0..h * w, pieces).unwrap();
                let parts = (0..h).step_by(per_piece as usize).map(|row| {
                    let end = (row + per_piece).min(h);
                    let rows = map.rows(&(row..end)).unwrap();
                    Ops::Eager.moments_of(&rows, 0..(end - row) * w, pieces).unwrap()
                });
                let joined = Moments::join(&parts.collect::<Vec<_>>()).unwrap();
                assert_eq!(joined.pieces(), whole.pieces());
                assert!(joined.values() == whole.values());
                let coefficients = Ops::Eager.norm_coefficients(&whole, None, norm).unwrap();
                for silu in [false, true] {
                    let all = Ops::Eager.normed(&map, &coefficients, silu).unwrap();
                    for row in 0..h {
                        let one = map.rows(&(row..row + 1)).unwrap();
                        let one = Ops::Eager.normed(&one, &coefficients, silu).unwrap();
                        assert!(one == image_rows(&all, &(row..row + 1)).unwrap());
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_that_are_not_finite_stay_so() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = Tensor::from_slice(&[1.0, bad, -200.0, 3.0]).view([1, 2, 1, 2]);
            let (weight, offset) = (Tensor::ones([2], FLOAT), Tensor::zeros([2], FLOAT));
            let norm = GroupNorm { weight: &weight, offset: &offset, groups: 1, eps: 1e-6 };
            let got = Ops::Eager.group_norm(&Map::new(x, None), norm, true).unwrap();
            assert_eq!(got.isfinite().any().int64_value(&[]), 0, "{bad}: {got:?}");
        }
        let far = Ops::Eager.normed(
            &Map::new(Tensor::from_slice(&[-200f32, 200.0]).view([1, 1, 1, 2]), None),
            &NormCoefficients(Tensor::from_slice(&[1f32, 0.0]).view([2, 1])),
            true,
        );
        assert_eq!(Vec::<f32>::try_from(far.unwrap().flatten(0, 3)).unwrap(), [0.0, 200.0]);
    }
}
