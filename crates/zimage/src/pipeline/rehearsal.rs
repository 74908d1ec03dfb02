//! Doing once, for nothing, what takes long the first time: loading kernels, making plans.

use std::time::{Duration, Instant};

use tch::Device;

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

/// Where attention needs a plan for each number of a caption's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionPlan {
    /// In the text encoder.
    Text,
    /// In the transformer, over the caption alone.
    Caption,
    /// In the transformer, over the caption and a picture.
    Picture,
}

impl AttentionPlan {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Caption, Self::Picture];
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

    /// Makes one plan of attention for captions of up to `tokens` and pictures of this size, which
    /// takes some 0.03 s where there are such plans. Nothing comes of it.
    ///
    /// # Errors
    /// As [`Pipeline::rehearse`].
    pub fn plan_attention(
        &self,
        params: &Params,
        tokens: usize,
        plan: AttentionPlan,
    ) -> Result<()> {
        let Device::Cuda(_) = self.device else { return Ok(()) };
        let tokens = tokens.next_multiple_of(SEQUENCE_MULTIPLE as usize) as i64;
        let (height, width) = self.latent_size(&self.plan(params)?);
        match plan {
            AttentionPlan::Text => self.text_encoder.rehearse(tokens),
            AttentionPlan::Caption => self.transformer.rehearse_caption(tokens),
            AttentionPlan::Picture => {
                self.transformer.rehearse_picture(tokens, self.transformer.grid(height, width))
            }
        }
    }
}
