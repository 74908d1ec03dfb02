//! Attention of a single wide head over all positions of a map, some queries at a time.

use tch::{Kind, Tensor};
use zimage_checkpoint::queries_at_a_time;
use zimage_cuda::Kernels;

use super::Ops;
use crate::error::Result;

impl Ops {
    /// Attention of a single head: `q`, `k` and `v` are `[1, positions, width]`, and so is the result.
    ///
    /// Heads of more than 256 numbers have no fast kernel in libtorch on a GPU: it stores all scores.
    /// So a GPU computes some queries at a time; fused, with two matrix products and the scores in
    /// float32 between them. How many depends on the positions alone, and so do the bits.
    pub(crate) fn wide_attention(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (_, places, width) = q.size3()?;
        if !q.device().is_cuda() {
            return super::attention(q, k, v, false);
        }
        let parts = q.f_split(queries_at_a_time(places), 1)?;
        let kernels = match self {
            Self::Fused(kernels) if Kernels::takes_scores_of(places) => kernels,
            _ => {
                let parts = parts.iter().map(|q| super::attention(q, k, v, false));
                return Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>>>()?, 1)?);
            }
        };
        let [k, v] = [k.f_squeeze_dim(0)?, v.f_squeeze_dim(0)?];
        let (keys, scale) = (k.f_transpose(0, 1)?, (width as f64).powf(-0.5));
        let parts = parts.iter().map(|q| {
            let scores = q.f_squeeze_dim(0)?.f_mm_dtype(&keys, Kind::Float)?;
            let weights = kernels.softmax(&scores, scale)?;
            drop(scores);
            Ok(weights.f_mm(&v)?)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 0)?.f_unsqueeze(0)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn attention_of_one_head_is_the_formula() {
        let [q, k, v] = [0; 3].map(|_| Tensor::randn([1, 6, 16], (Kind::Float, Device::Cpu)));
        let weights = (q.matmul(&k.transpose(1, 2)) * 0.25).softmax(-1, Kind::Float);
        let got = Ops::Eager.wide_attention(&q, &k, &v).unwrap();
        assert!((got - weights.matmul(&v)).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn scores_take_a_quarter_of_a_gibibyte_at_most() {
        for (positions, queries) in
            [(1, 4096), (64 * 64, 4096), (128 * 128, 4096), (192 * 128, 2688), (256 * 256, 1024)]
        {
            assert_eq!(queries_at_a_time(positions), queries);
            assert!(queries * positions * 4 <= 256 << 20);
        }
    }
}
