//! `softmax.cu`: softmax of rows of scores.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::launch::expect;
use super::{Kernel, Kernels, compile};
use crate::driver::Gpu;
use crate::error::Error;

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
    /// Whether rows of `width` scores are supported.
    pub fn takes_scores_of(width: i64) -> bool {
        width > 0 && width % 4 == 0
    }

    /// `softmax(scores · scale)` of rows `[rows, width]` in float32, as bfloat16.
    ///
    /// # Errors
    /// When the tensor does not fit, or the driver fails.
    pub fn softmax(&self, scores: &Tensor, scale: f64) -> Result<Tensor, Error> {
        let &[rows, width] = &scores.size()[..] else {
            return Err(Error::InvalidArguments("scores are [rows, width]"));
        };
        expect(scores, Kind::Float, &[rows, width])?;
        if !Self::takes_scores_of(width) {
            return Err(Error::InvalidArguments("the scores of a row are not a multiple of 4"));
        }
        let out = Tensor::f_empty([rows, width], (Kind::BFloat16, scores.device()))?;
        let arguments = [scores.into(), scale.into(), width.into(), (&out).into()];
        // SAFETY: the types are those of `softmax_rows`; scores and result are of one shape.
        unsafe { self.0.stream.launch(self.0.softmax.softmax, (rows, 1), 512, &arguments) }?;
        Ok(out)
    }
}
