//! Attention heads: splitting, and norm and rotation of queries and keys.

use tch::{Kind, Tensor};
use zimage_cuda::{Kernels, Pairs};

use super::Ops;
use super::norm::RmsNorm;
use crate::error::{Error, Result};

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
    /// Of several sequences, whose tokens are rows one after the other.
    Several(Vec<Rotation>),
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
                let weights = (&q_norm.weight, &k_norm.weight);
                let mut first = 0;
                for sequence in rotation.sequences() {
                    let (cos_sin, pairs) = sequence.for_kernel()?;
                    let tokens = cos_sin.size()[0];
                    let rows = packed.f_narrow(0, first, tokens)?;
                    let (eps, heads) = (q_norm.eps, (queries, keys));
                    kernels.norm_and_rotate(&rows, heads, weights, eps, &cos_sin, pairs)?;
                    first += tokens;
                }
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
    /// The rotations of the sequences one by one.
    fn sequences(&self) -> &[Self] {
        match self {
            Self::Several(all) => all,
            one => std::slice::from_ref(one),
        }
    }

    /// The numbers of tokens of the sequences.
    pub(crate) fn lengths(&self) -> Vec<i64> {
        let length = |one: &Self| match one {
            Self::Neighbours(all) | Self::Halves { cos: all, .. } => all.size()[0],
            Self::Several(all) => all.iter().flat_map(Self::lengths).sum(),
        };
        self.sequences().iter().map(length).collect()
    }

    /// Another handle to the same numbers.
    pub(crate) fn shallow_clone(&self) -> Self {
        match self {
            Self::Neighbours(cos_sin) => Self::Neighbours(cos_sin.shallow_clone()),
            Self::Halves { cos, sin, cos_sin } => Self::Halves {
                cos: cos.shallow_clone(),
                sin: sin.shallow_clone(),
                cos_sin: cos_sin.shallow_clone(),
            },
            Self::Several(all) => Self::Several(all.iter().map(Self::shallow_clone).collect()),
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
            Self::Several(all) => {
                let rows = x.f_split_with_sizes(&self.lengths()[..], 0)?;
                let rows = all.iter().zip(&rows).map(|(of, rows)| of.apply(rows));
                Ok(Tensor::f_cat(&rows.collect::<Result<Vec<_>>>()?, 0)?)
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
            Self::Several(_) => {
                Err(Error::Internal("the kernel rotates one sequence at a time".to_owned()))
            }
        }
    }
}
