//! Feature maps: residual sum, upsampling, and conversion of the last map to bytes.
//!
//! An eager map is NCHW and complete. A fused map is bfloat16 in NHWC, and the bias of the convolution
//! before it is pending: the next operation adds it, which saves a pass over memory.

use std::ops::Range;

use tch::{Kind, Tensor};
use zimage_cuda::{Moments, Pieces};

use super::{Ops, from_rows, image_rows, to_rows};
use crate::error::{Error, Result};
use crate::image::all_finite;

/// The size of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapShape {
    pub(crate) channels: i64,
    pub(crate) h: i64,
    pub(crate) w: i64,
}

/// A feature map of one image.
#[derive(Debug)]
pub(crate) struct Map {
    /// `[1, channels, h, w]`; fused, its strides are those of `[1, h, w, channels]`.
    values: Tensor,
    /// The pending bias: `[channels]`, float32.
    bias: Option<Tensor>,
    /// The moments for a norm, if they are known.
    moments: Option<Moments>,
}

impl Map {
    /// `values` `[1, channels, h, w]` with a pending `bias`.
    pub(crate) fn new(values: Tensor, bias: Option<Tensor>) -> Self {
        Self { values, bias, moments: None }
    }

    /// The values without the bias.
    pub(crate) fn values(&self) -> &Tensor {
        &self.values
    }

    /// The pending bias.
    pub(crate) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The values plus the bias, in their own kind.
    pub(crate) fn complete(&self) -> Result<Tensor> {
        let Some(bias) = &self.bias else { return Ok(self.values.shallow_clone()) };
        let bias = bias.f_view([1, -1, 1, 1])?;
        Ok(self.values.f_add(&bias)?.f_to_kind(self.values.f_kind()?)?)
    }

    /// The moments for a norm, if they are known.
    pub(crate) fn moments(&self) -> Option<&Moments> {
        self.moments.as_ref()
    }

    pub(crate) fn shape(&self) -> Result<MapShape> {
        let (_, channels, h, w) = self.values.size4()?;
        Ok(MapShape { channels, h, w })
    }

    /// Some rows of the image: a view.
    pub(crate) fn rows(&self, rows: &Range<i64>) -> Result<Self> {
        let bias = self.bias.as_ref().map(Tensor::shallow_clone);
        Ok(Self::new(image_rows(&self.values, rows)?, bias))
    }

    /// The same with the moments of its values without the bias.
    pub(crate) fn with_moments(self, moments: Option<Moments>) -> Self {
        Self { moments, ..self }
    }
}

impl MapShape {
    pub(crate) fn positions(self) -> i64 {
        self.h * self.w
    }
}

impl Ops {
    /// The sum of two maps.
    pub(crate) fn add(&self, x: &Map, y: &Map) -> Result<Map> {
        let shape = x.shape()?;
        let (sum, moments) =
            self.add_positions(x, y, 0..shape.positions(), self.pieces(shape, x.values.device()))?;
        Ok(Map::new(sum, None).with_moments(moments))
    }

    /// The sum of two maps at some positions, which begin where one of `pieces` does: eager, they are
    /// whole rows and the sum is `[1, channels, rows, w]`; fused, it has its moments, and if they are not
    /// whole rows it is `[1, channels, 1, positions]`.
    pub(crate) fn add_positions(
        &self,
        x: &Map,
        y: &Map,
        positions: Range<i64>,
        pieces: Pieces,
    ) -> Result<(Tensor, Option<Moments>)> {
        let w = x.shape()?.w;
        let Self::Fused(kernels) = self else {
            let rows = positions.start / w..positions.end / w;
            let (x, y) = (x.rows(&rows)?.complete()?, y.rows(&rows)?.complete()?);
            return Ok((x.f_add(&y)?, None));
        };
        let bias = match (x.bias(), y.bias()) {
            (Some(one), Some(other)) => Some(one.f_add(other)?),
            (one, other) => one.or(other).map(Tensor::shallow_clone),
        };
        let count = positions.end - positions.start;
        let part = |map: &Map| -> Result<Tensor> {
            Ok(to_rows(&map.values)?.f_narrow(0, positions.start, count)?)
        };
        let (sum, moments) = kernels.add(&part(x)?, &part(y)?, bias.as_ref(), pieces)?;
        let size = if count % w == 0 { (count / w, w) } else { (1, count) };
        Ok((from_rows(&sum, size)?, Some(moments)))
    }

    /// Upsampling by two (nearest): `[1, channels, 2h, 2w]`.
    pub(crate) fn upsample(&self, x: &Map) -> Result<Tensor> {
        let MapShape { h, w, .. } = x.shape()?;
        let Self::Fused(kernels) = self else {
            return Ok(x.complete()?.f_upsample_nearest2d([2 * h, 2 * w], None, None)?);
        };
        from_rows(&kernels.upsample(&to_rows(&x.values)?, x.bias(), w)?, (2 * h, 2 * w))
    }

    /// Colours of about −1 to 1 as bytes `[h, w, 3]`. Eager, `x` has three channels; fused,
    /// eight, of which three are used.
    ///
    /// The steps and their rounding are diffusers' `VaeImageProcessor.postprocess`: halved and
    /// clamped in the map's own kind, then float32, then half-to-even.
    pub(crate) fn to_bytes(&self, x: &Map) -> Result<Tensor> {
        let not_finite = Error::NotFinite("the decoded pixels");
        if let (Self::Fused(kernels), Some(bias)) = (self, x.bias()) {
            let (bytes, flag) = kernels.to_bytes(&to_rows(&x.values)?, bias)?;
            let MapShape { h, w, .. } = x.shape()?;
            return match flag.f_int64_value(&[0])? {
                0 => Ok(bytes.f_view([h, w, 3])?),
                _ => Err(not_finite),
            };
        }
        let unit = x.complete()?.f_mul_scalar(0.5)?.f_add_scalar(0.5)?;
        if !all_finite(&unit)? {
            return Err(not_finite);
        }
        let bytes = unit.f_clamp(0.0, 1.0)?.f_to_kind(Kind::Float)?.f_mul_scalar(255.0)?;
        let bytes = bytes.f_round()?.f_to_kind(Kind::Uint8)?;
        Ok(bytes.f_squeeze_dim(0)?.f_permute([1, 2, 0])?.f_contiguous()?)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use zimage_cuda::GroupNorm;

    use super::*;
    use crate::ops::to_nhwc;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// A map with a pending bias, and the same map complete.
    fn pending(shape: [i64; 4], nhwc: bool) -> (Map, Map) {
        let values = Tensor::randn(shape, FLOAT);
        let values = if nhwc { to_nhwc(&values).unwrap() } else { values };
        let bias = Tensor::randn([shape[1]], FLOAT);
        let complete = &values + bias.view([1, -1, 1, 1]);
        (Map::new(values, Some(bias)), Map::new(complete, None))
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn the_next_operation_adds_a_pending_bias() {
        for (shape, groups) in [([1, 8, 3, 5], 2), ([1, 24, 7, 1], 3), ([1, 40, 4, 6], 5)] {
            for nhwc in [false, true] {
                let (waiting, complete) = pending(shape, nhwc);
                let (other, other_complete) = pending(shape, !nhwc);
                let (weight, offset) =
                    (Tensor::randn([shape[1]], FLOAT), Tensor::randn([shape[1]], FLOAT));
                let norm = GroupNorm { weight: &weight, offset: &offset, groups, eps: 1e-6 };
                for silu in [false, true] {
                    let one = Ops::Eager.group_norm(&waiting, norm, silu).unwrap();
                    let two = Ops::Eager.group_norm(&complete, norm, silu).unwrap();
                    assert!(distance(&one, &two) < 1e-5);
                }
                let one = Ops::Eager.add(&waiting, &other).unwrap();
                let two = Ops::Eager.add(&complete, &other_complete).unwrap();
                assert!(one.bias().is_none());
                assert!(distance(one.values(), two.values()) < 1e-5);
                let one = Ops::Eager.upsample(&waiting).unwrap();
                let two = Ops::Eager.upsample(&complete).unwrap();
                assert!(distance(&one, &two) == 0.0);
            }
        }
    }

    #[test]
    fn colours_become_bytes() {
        let colours = Tensor::from_slice(&[-1f32, 0.0, 2.0, 1.0, -3.0, 0.5]).view([1, 3, 1, 2]);
        let bytes = Ops::Eager.to_bytes(&Map::new(colours, None)).unwrap();
        assert_eq!((bytes.size(), bytes.kind()), (vec![1, 2, 3], Kind::Uint8));
        // 0 → 127.5 → 128 and 0.5 → 191.25 → 191.
        let bytes: Vec<u8> = bytes.flatten(0, 2).try_into().unwrap();
        assert_eq!(bytes, [0, 255, 0, 128, 255, 191]);
    }

    #[test]
    fn nan_is_an_error_not_a_black_image() {
        let colours = Tensor::from_slice(&[f32::NAN, 0.0, 0.0]).view([1, 3, 1, 1]);
        let bytes = Ops::Eager.to_bytes(&Map::new(colours, None));
        assert!(matches!(bytes, Err(Error::NotFinite(_))));
    }
}
