//! Feature maps: group norm, residual sum, upsampling, and conversion of the last map to bytes.
//!
//! An eager map is NCHW and complete. A fused map is bfloat16 in NHWC, and the bias of the convolution
//! before it is pending: the next operation adds it, which saves a pass over memory.

use tch::{Kind, Tensor};
use zimage_cuda::{GroupNorm, Kernels, Moments};

use super::Ops;
use crate::error::{Error, Result};
use crate::image::all_finite;

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

    fn size(&self) -> Result<(i64, i64)> {
        let (_, _, h, w) = self.values.size4()?;
        Ok((h, w))
    }
}

impl Ops {
    /// Norm over groups of channels, then SiLU if `silu`: `[1, channels, h, w]`.
    pub(crate) fn group_norm(&self, x: &Map, norm: GroupNorm<'_>, silu: bool) -> Result<Tensor> {
        let Self::Fused(kernels) = self else {
            let GroupNorm { weight, offset, groups, eps } = norm;
            let out = x.complete()?.f_group_norm(groups, Some(weight), Some(offset), eps, true)?;
            return if silu { Ok(out.f_silu()?) } else { Ok(out) };
        };
        let rows = to_rows(&x.values)?;
        let taken;
        let moments = match &x.moments {
            Some(known) => known,
            None => {
                taken = kernels.moments(&rows)?;
                &taken
            }
        };
        from_rows(&kernels.group_norm(&rows, moments, x.bias(), norm, silu)?, x.size()?)
    }

    /// The sum of two maps.
    pub(crate) fn add(&self, x: &Map, y: &Map) -> Result<Map> {
        let Self::Fused(kernels) = self else {
            return Ok(Map::new(x.complete()?.f_add(&y.complete()?)?, None));
        };
        let bias = match (x.bias(), y.bias()) {
            (Some(one), Some(other)) => Some(one.f_add(other)?),
            (one, other) => one.or(other).map(Tensor::shallow_clone),
        };
        let (sum, moments) =
            kernels.add(&to_rows(&x.values)?, &to_rows(&y.values)?, bias.as_ref())?;
        Ok(Map { values: from_rows(&sum, x.size()?)?, bias: None, moments: Some(moments) })
    }

    /// Upsampling by two (nearest): `[1, channels, 2h, 2w]`.
    pub(crate) fn upsample(&self, x: &Map) -> Result<Tensor> {
        let (h, w) = x.size()?;
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
            let (h, w) = x.size()?;
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

    /// Attention of a single head over all positions: `q`, `k` and `v` are `[1, positions, width]`, and so
    /// is the result.
    ///
    /// Heads of more than 256 numbers have no fast kernel in libtorch. Fused, it is two matrix
    /// products with the scores in float32 between them, for some thousand queries at a time.
    pub(crate) fn wide_attention(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (_, places, width) = q.size3()?;
        let kernels = match self {
            Self::Fused(kernels) if Kernels::takes_scores_of(places) => kernels,
            _ => return super::attention(q, k, v, false),
        };
        /// Queries at a time: enough for the GPU, and at 2048² a gigabyte of scores.
        const QUERIES: i64 = 4096;
        let [q, k, v] = [q.f_squeeze_dim(0)?, k.f_squeeze_dim(0)?, v.f_squeeze_dim(0)?];
        let (keys, scale) = (k.f_transpose(0, 1)?, (width as f64).powf(-0.5));
        let parts = q.f_split(QUERIES, 0)?;
        let parts = parts.iter().map(|q| {
            let scores = q.f_mm_dtype(&keys, Kind::Float)?;
            Ok(kernels.softmax(&scores, scale)?.f_mm(&v)?)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 0)?.f_unsqueeze(0)?)
    }
}

/// `[1, channels, h, w]` as rows `[h · w, channels]`: a view, if the strides are NHWC.
pub(crate) fn to_rows(x: &Tensor) -> Result<Tensor> {
    let (_, channels, h, w) = x.size4()?;
    Ok(x.f_permute([0, 2, 3, 1])?.f_view([h * w, channels])?)
}

/// The inverse of [`to_rows`]: a view.
pub(crate) fn from_rows(rows: &Tensor, (h, w): (i64, i64)) -> Result<Tensor> {
    let channels = rows.size2()?.1;
    Ok(rows.f_view([1, h, w, channels])?.f_permute([0, 3, 1, 2])?)
}

/// `[n, channels, h, w]` with the strides of `[n, h, w, channels]`.
pub(crate) fn to_nhwc(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

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
    fn the_eager_norm_is_the_formula() {
        let x = Tensor::randn([1, 12, 5, 3], FLOAT) * 2 + 7;
        let (weight, offset) = (Tensor::randn([12], FLOAT), Tensor::randn([12], FLOAT));
        let norm = GroupNorm { weight: &weight, offset: &offset, groups: 3, eps: 1e-6 };
        let groups = x.view([3, 4 * 15]).to_kind(Kind::Double);
        let mean = groups.mean_dim(&[1i64][..], true, Kind::Double);
        let var = (&groups - &mean).square().mean_dim(&[1i64][..], true, Kind::Double);
        let normed = ((&groups - &mean) / (var + 1e-6).sqrt()).view([1, 12, 5, 3]);
        let want = normed * weight.view([1, -1, 1, 1]) + offset.view([1, -1, 1, 1]);
        let got = Ops::Eager.group_norm(&Map::new(x, None), norm, false).unwrap();
        assert!(distance(&got.to_kind(Kind::Double), &want) < 1e-5);
    }

    #[test]
    fn nhwc_is_another_order_of_the_same_map() {
        let x = Tensor::randn([1, 8, 3, 5], FLOAT);
        let nhwc = to_nhwc(&x).unwrap();
        assert!(nhwc == x && !nhwc.is_contiguous());
        let rows = to_rows(&nhwc).unwrap();
        assert_eq!(rows.size(), [15, 8]);
        assert_eq!(rows.data_ptr(), nhwc.data_ptr());
        assert_eq!(rows.double_value(&[7, 2]), x.double_value(&[0, 2, 1, 2]));
        assert!(from_rows(&rows, (3, 5)).unwrap() == x);
    }

    #[test]
    fn attention_of_one_head_is_the_formula() {
        let [q, k, v] = [0; 3].map(|_| Tensor::randn([1, 6, 16], FLOAT));
        let weights = (q.matmul(&k.transpose(1, 2)) * 0.25).softmax(-1, Kind::Float);
        let got = Ops::Eager.wide_attention(&q, &k, &v).unwrap();
        assert!(distance(&got, &weights.matmul(&v)) < 1e-5);
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
