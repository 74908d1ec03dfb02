//! `softmax.cu`: softmax of rows of scores.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::launch::expect;
use super::{Kernel, Kernels, compile};
use crate::{Error, Gpu};

#[derive(Debug)]
pub(super) struct Functions {
    softmax: Kernel,
}

impl Functions {
    pub(super) fn load(gpu: &Gpu) -> Result<Self, Error> {
        let [softmax] = compile::load(gpu, "softmax.cu", ["softmax_rows"])?;
        Ok(Self { softmax })
    }
}

impl Kernels {
    /// Whether rows of so many scores are taken.
    pub fn takes_scores_of(width: i64) -> bool {
        width > 0 && width % 4 == 0
    }

    /// `softmax(scores · scale)` of rows `[rows, width]` in float32, as bfloat16.
    ///
    /// # Errors
    /// When the tensor is not as said, or the driver refuses.
    pub fn softmax(&self, scores: &Tensor, scale: f64) -> Result<Tensor, Error> {
        let &[rows, width] = &scores.size()[..] else {
            return Err(Error::Misuse("scores are [rows, width]"));
        };
        expect(scores, Kind::Float, &[rows, width])?;
        if !Self::takes_scores_of(width) {
            return Err(Error::Misuse("a row's scores are no multiple of 4"));
        }
        let out = Tensor::f_empty([rows, width], (Kind::BFloat16, scores.device()))?;
        let arguments = [scores.into(), scale.into(), width.into(), (&out).into()];
        // SAFETY: the types are those of `softmax_rows`; scores and result are of one shape.
        unsafe { self.0.stream.launch(self.0.softmax.softmax, (rows, 1), 512, &arguments) }?;
        Ok(out)
    }
}
