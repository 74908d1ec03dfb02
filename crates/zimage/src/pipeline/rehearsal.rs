//! Doing once, for nothing, what takes long the first time: loading kernels, making plans.

use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use super::{Conditioning, Pipeline};
use crate::error::Result;
use crate::params::Params;
use crate::transformer::SEQUENCE_MULTIPLE;

/// How long the parts of a rehearsal took: far longer than later ones, which is what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Rehearsal {
    /// Waiting for our kernels to be compiled.
    pub kernels: Duration,
    /// Encoding a prompt.
    pub text: Duration,
    /// One step.
    pub step: Duration,
    /// Decoding.
    pub decode: Duration,
}

impl Pipeline {
    /// Draws one step for a caption of so many tokens, and decodes noise: what a first picture of
    /// this size would wait for is there afterwards. Nothing comes of it.
    ///
    /// # Errors
    /// When libtorch fails (out of memory), or the size is refused.
    pub fn rehearse(&self, params: &Params, caption: usize) -> Result<Rehearsal> {
        let mut last = Instant::now();
        let mut lap = || -> Result<Duration> {
            self.wait()?;
            let took = last.elapsed();
            last = Instant::now();
            Ok(took)
        };
        let plan = self.plan(params)?;
        let noise = self.start(&plan, 0)?;
        let tokens = caption.min(self.limits.tokens_max);
        let positive = self.context(&vec![0; tokens], &plan)?;
        let conditioning = Conditioning { positive, negative: None, tokens };
        let text = lap()?;
        self.step(&mut self.start(&plan, 0)?, &conditioning)?;
        let step = lap()?;
        // Not the drawing: without its weights it may be no number.
        self.decode(&noise)?;
        Ok(Rehearsal { kernels: Duration::ZERO, text, step, decode: lap()? })
    }

    /// Brings cuBLAS up, which takes some 0.1 s and needs none of our kernels.
    pub(super) fn rehearse_product(&self) -> Result<()> {
        let Device::Cuda(_) = self.device else { return Ok(()) };
        let x = Tensor::f_zeros([64, 64], (self.transformer.kind(), self.device))?;
        x.f_mm(&x).map(drop)?;
        Ok(())
    }

    /// Makes the plan of attention for captions of up to `tokens` beside pictures of this size, which
    /// takes some 0.05 s where there are such plans. Nothing comes of it.
    ///
    /// # Errors
    /// As [`Pipeline::rehearse`].
    pub fn plan_attention(&self, params: &Params, tokens: usize) -> Result<()> {
        let Device::Cuda(_) = self.device else { return Ok(()) };
        let tokens = tokens.next_multiple_of(SEQUENCE_MULTIPLE as usize) as i64;
        let (height, width) = self.latent_size(&self.plan(params)?);
        self.transformer.rehearse_picture(tokens, self.transformer.grid(height, width))
    }
}
