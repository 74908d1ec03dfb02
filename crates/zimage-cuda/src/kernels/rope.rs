//! `rope.cu`: norm and rotation of queries and keys, in place.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::launch::expect;
use super::{Kernel, Kernels, compile};
use crate::driver::Gpu;
use crate::error::Error;

/// The width of a head that the kernel supports.
const HEAD: i64 = 128;
/// Warps of a block; 30 + 30 heads are four for each.
const WARPS: i64 = 15;

#[derive(Debug)]
pub(super) struct Functions {
    neighbours: Kernel,
    halves: Kernel,
}

/// Which two numbers of a head rotate together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// 2i and 2i + 1.
    Neighbours,
    /// i and i + half the head.
    Halves,
}

impl Functions {
    pub(super) fn load(gpu: &Gpu) -> Result<Self, Error> {
        let names = ["norm_and_rotate_neighbours", "norm_and_rotate_halves"];
        let [neighbours, halves] = compile::load(gpu, "rope.cu", names)?;
        Ok(Self { neighbours, halves })
    }
}

impl Kernels {
    /// Whether heads of `width` numbers can be rotated.
    pub fn takes_heads_of(width: i64) -> bool {
        width == HEAD
    }

    /// Norms the first `queries` heads of each row with `q_scale`, the next `keys` with `k_scale`
    /// (both `[128]`), and rotates them; the heads after them are unchanged.
    ///
    /// `heads` is `[tokens, heads · 128]`, changed in place; `rotations` is `[tokens, 64, 2]` in
    /// float32: cosine and sine.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn norm_and_rotate(
        &self,
        heads: &Tensor,
        (queries, keys): (i64, i64),
        (q_scale, k_scale): (&Tensor, &Tensor),
        eps: f64,
        rotations: &Tensor,
        pairs: Pairs,
    ) -> Result<(), Error> {
        let &[tokens, width] = &heads.size()[..] else {
            return Err(Error::InvalidArguments("heads are [tokens, heads · width]"));
        };
        if width % HEAD != 0 || (queries + keys) * HEAD > width {
            return Err(Error::InvalidArguments("the rows have fewer heads than the arguments"));
        }
        expect(heads, Kind::BFloat16, &[tokens, width])?;
        expect(q_scale, Kind::BFloat16, &[HEAD])?;
        expect(k_scale, Kind::BFloat16, &[HEAD])?;
        expect(rotations, Kind::Float, &[tokens, HEAD / 2, 2])?;
        let arguments = [
            heads.into(),
            width.into(),
            queries.into(),
            keys.into(),
            q_scale.into(),
            k_scale.into(),
            eps.into(),
            rotations.into(),
        ];
        let kernel = match pairs {
            Pairs::Neighbours => self.0.rope.neighbours,
            Pairs::Halves => self.0.rope.halves,
        };
        // SAFETY: the types are those of the kernels; the shapes were checked.
        unsafe { self.0.stream.launch(kernel, (tokens, 1), WARPS * 32, &arguments) }
    }
}
