//! Queries and keys normed and turned by their tokens' positions.

use tch::{Kind, Tensor};
use zimage_cuda::{Kernels, Pairs};

use super::Ops;
use crate::error::Result;
use crate::nn::{Heads, RmsNorm};

/// The turns of a sequence's tokens.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// Neighbours in a head turn together: `[tokens, 1, head width / 2]`, complex numbers of
    /// length 1 in float32.
    Neighbours(Tensor),
    /// Number i of a head turns with number i + half the width.
    Halves {
        /// `[tokens, 1, head width]` in the compute kind, both halves alike.
        cos: Tensor,
        /// The same.
        sin: Tensor,
        /// `[tokens, head width / 2, 2]`: cosine and sine in float32, for the kernel.
        turns: Tensor,
    },
}

impl Ops {
    /// Queries, keys and values, each `[tokens, heads, width]`, of `packed` rows that hold them
    /// side by side: queries and keys are normed and turned.
    pub(crate) fn norm_and_rotate(
        &self,
        packed: Tensor,
        heads: Heads,
        q_norm: &RmsNorm,
        k_norm: &RmsNorm,
        rotation: &Rotation,
    ) -> Result<[Tensor; 3]> {
        let Heads { queries, keys, width } = heads;
        match self {
            Self::Fused(kernels) if Kernels::takes_heads_of(width) => {
                let (turns, pairs) = rotation.for_kernel()?;
                let weights = (&q_norm.weight, &k_norm.weight);
                kernels.norm_and_rotate(
                    &packed,
                    (queries, keys),
                    weights,
                    q_norm.eps,
                    &turns,
                    pairs,
                )?;
                heads.split(&packed)
            }
            _ => {
                let [q, k, v] = heads.split(&packed)?;
                let q = rotation.apply(&q_norm.forward(&q)?)?;
                let k = rotation.apply(&k_norm.forward(&k)?)?;
                Ok([q, k, v])
            }
        }
    }
}

impl Rotation {
    /// Another handle to the same numbers.
    pub(crate) fn shallow_clone(&self) -> Self {
        match self {
            Self::Neighbours(turns) => Self::Neighbours(turns.shallow_clone()),
            Self::Halves { cos, sin, turns } => Self::Halves {
                cos: cos.shallow_clone(),
                sin: sin.shallow_clone(),
                turns: turns.shallow_clone(),
            },
        }
    }

    /// Turns `x` `[tokens, heads, width]`, keeping its kind. The plain way.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Neighbours(turns) => {
                let pairs = x.f_to_kind(Kind::Float)?.f_unflatten(-1, [-1, 2])?;
                let turned = pairs.f_view_as_complex()?.f_mul(turns)?.f_view_as_real()?;
                Ok(turned.f_flatten(-2, -1)?.f_to_kind(x.f_kind()?)?)
            }
            Self::Halves { cos, sin, .. } => {
                let halves = x.f_chunk(2, -1)?;
                let rotated = Tensor::f_cat(&[&halves[1].f_neg()?, &halves[0]], -1)?;
                Ok(x.f_mul(cos)?.f_add(&rotated.f_mul(sin)?)?)
            }
        }
    }

    /// `[tokens, width / 2, 2]`, cosine and sine in float32.
    fn for_kernel(&self) -> Result<(Tensor, Pairs)> {
        match self {
            Self::Neighbours(turns) => {
                Ok((turns.f_view_as_real()?.f_squeeze_dim(1)?, Pairs::Neighbours))
            }
            Self::Halves { turns, .. } => Ok((turns.shallow_clone(), Pairs::Halves)),
        }
    }
}
