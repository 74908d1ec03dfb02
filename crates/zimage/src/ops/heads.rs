//! Attention heads: splitting, and norm and rotation of queries and keys.

use tch::{Kind, Tensor};
use zimage_cuda::{Kernels, Pairs};

use super::Ops;
use super::norm::RmsNorm;
use crate::error::Result;

/// The attention heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Heads of queries.
    pub(crate) queries: i64,
    /// Heads of keys, and of values; query heads share them evenly.
    pub(crate) keys: i64,
    /// The width of a head.
    pub(crate) width: i64,
}

impl Heads {
    /// Queries, keys and values, each `[tokens, heads, width]`, of packed rows.
    pub(crate) fn split(self, packed: &Tensor) -> Result<[Tensor; 3]> {
        let Self { queries, keys, width } = self;
        let all = packed.f_unflatten(1, [-1, width])?;
        Ok([
            all.f_narrow(1, 0, queries)?,
            all.f_narrow(1, queries, keys)?,
            all.f_narrow(1, queries + keys, keys)?,
        ])
    }
}

/// The rotations of a sequence's tokens.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// Neighbours in a head rotate together: `[tokens, 1, head width / 2]`, complex numbers of
    /// length 1 in float32.
    Neighbours(Tensor),
    /// Number i of a head rotates with number i + half the width.
    Halves {
        /// `[tokens, 1, head width]` in the compute kind, both halves equal.
        cos: Tensor,
        /// Likewise.
        sin: Tensor,
        /// `[tokens, head width / 2, 2]`: cosine and sine in float32, for the kernel.
        cos_sin: Tensor,
    },
}

impl Ops {
    /// Queries, keys and values, each `[tokens, heads, width]`, of `packed`
    /// rows: queries and keys are normed and rotated.
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
                let (cos_sin, pairs) = rotation.for_kernel()?;
                let weights = (&q_norm.weight, &k_norm.weight);
                kernels.norm_and_rotate(
                    &packed,
                    (queries, keys),
                    weights,
                    q_norm.eps,
                    &cos_sin,
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
            Self::Neighbours(cos_sin) => Self::Neighbours(cos_sin.shallow_clone()),
            Self::Halves { cos, sin, cos_sin } => Self::Halves {
                cos: cos.shallow_clone(),
                sin: sin.shallow_clone(),
                cos_sin: cos_sin.shallow_clone(),
            },
        }
    }

    /// Rotates `x` `[tokens, heads, width]`, in its own kind: the eager rotation.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Neighbours(cos_sin) => {
                let pairs = x.f_to_kind(Kind::Float)?.f_unflatten(-1, [-1, 2])?;
                let rotated = pairs.f_view_as_complex()?.f_mul(cos_sin)?.f_view_as_real()?;
                Ok(rotated.f_flatten(-2, -1)?.f_to_kind(x.f_kind()?)?)
            }
            Self::Halves { cos, sin, .. } => {
                let halves = x.f_chunk(2, -1)?;
                let swapped = Tensor::f_cat(&[&halves[1].f_neg()?, &halves[0]], -1)?;
                Ok(x.f_mul(cos)?.f_add(&swapped.f_mul(sin)?)?)
            }
        }
    }

    /// `[tokens, width / 2, 2]`, cosine and sine in float32.
    fn for_kernel(&self) -> Result<(Tensor, Pairs)> {
        match self {
            Self::Neighbours(cos_sin) => {
                Ok((cos_sin.f_view_as_real()?.f_squeeze_dim(1)?, Pairs::Neighbours))
            }
            Self::Halves { cos_sin, .. } => Ok((cos_sin.shallow_clone(), Pairs::Halves)),
        }
    }
}
