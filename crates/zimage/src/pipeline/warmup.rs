//! Doing once, for nothing, what takes long the first time: loading kernels, making plans.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::Pipeline;
use super::decoder_thread::Answer;
use crate::error::{ErrorKind, Result};
use crate::params::{Params, Plan};
use crate::transformer::SEQUENCE_MULTIPLE;

/// How long the parts of a rehearsal took: far longer than later ones, which is what it is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct WarmupTimings {
    /// Encoding a prompt.
    pub text: Duration,
    /// A step.
    pub step: Duration,
    /// DecoderThread, on a GPU beside the others.
    pub decode: Duration,
}

impl Pipeline {
    /// Computes a step for a caption of so many tokens, and decodes noise beside it: what a first
    /// image of this size would wait for is there afterwards. Nothing comes of it.
    ///
    /// # Errors
    /// When libtorch fails (out of memory), or the size is refused.
    pub fn rehearse(&self, params: &Params, caption: usize) -> Result<WarmupTimings> {
        self.rehearse_beside(params, caption, None)
    }

    /// The same beside a decoding of this size that was begun already.
    pub(super) fn rehearse_beside(
        &self,
        params: &Params,
        caption: usize,
        decoded: Option<Answer<Duration>>,
    ) -> Result<WarmupTimings> {
        let mut last = Instant::now();
        let mut lap = || {
            let took = last.elapsed();
            last = Instant::now();
            took
        };
        let plan = self.plan(params)?;
        self.room_for(&plan)?;
        let noise = self.start(&plan, 0)?;
        let decoded = decoded.unwrap_or_else(|| {
            // Not a drawing: without its weights it may be no number.
            self.rehearse_decoding(&plan, noise.latents.shallow_clone())
        });
        let tokens = caption.min(self.limits.tokens_max);
        let context = self.context(&vec![0; tokens], &plan)?;
        let text = lap();
        self.transformer.rehearse(&self.ops, &noise.latents, &context)?;
        let step = lap();
        let decode = decoded.wait()?;
        self.wait()?;
        Ok(WarmupTimings { text, step, decode })
    }

    /// Has the decoder do for nothing, beside the steps of a first image of this size, what the
    /// image would wait for after them. Nothing where it has met the size, and where memory for
    /// both at once is not certain.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn foresee_decoding(&self, plan: &Plan) -> Result<()> {
        // The image's own decoding comes after it, and says what fails.
        self.begin_decoding(plan).map(drop)
    }

    /// As [`Pipeline::foresee_decoding`]; what comes is how long it took.
    pub(super) fn begin_decoding(&self, plan: &Plan) -> Result<Option<Answer<Duration>>> {
        let Device::Cuda(_) = self.device else { return Ok(None) };
        let (height, width) = self.latent_size(plan);
        if self.decoded.borrow().contains(&(height, width)) || !self.has_room_for_both(plan)? {
            return Ok(None);
        }
        let shape = [1, self.channels, height, width];
        let latents = Tensor::f_zeros(shape, (Kind::Float, self.device))?;
        Ok(Some(self.rehearse_decoding(plan, latents)))
    }

    /// Decodes for nothing; how long it took comes when it is done.
    fn rehearse_decoding(&self, plan: &Plan, latents: Tensor) -> Answer<Duration> {
        self.decoded.borrow_mut().insert(self.latent_size(plan));
        self.decoding.ask(move |vae| {
            let begun = Instant::now();
            vae.bytes(&latents).map(drop)?;
            Ok(begun.elapsed())
        })
    }

    /// Gives back what a rehearsal has taken, where step and decoding have memory side by side, and
    /// takes what images of this size will: there they have it one after the other. How much that
    /// is it keeps in mind.
    pub(super) fn settle(&self, params: &Params, caption: usize) -> Result<()> {
        let Device::Cuda(_) = self.device else { return Ok(()) };
        zimage_cuda::give_back_cache()?;
        let plan = self.plan(params)?;
        let noise = self.start(&plan, 0)?;
        let context = self.context(&vec![0; caption.min(self.limits.tokens_max)], &plan)?;
        let ((), step) = self.measured(|| {
            self.transformer.rehearse(&self.ops, &noise.latents, &context)?;
            self.wait()
        })?;
        let decoded = self.measured(|| {
            self.decoding.ask(move |vae| vae.bytes(&noise.latents).map(drop)).wait()?;
            self.wait()
        });
        let decode = match decoded {
            Ok(((), bytes)) => bytes,
            // There are always tiles.
            Err(error) if error.kind() == ErrorKind::Memory => u64::MAX,
            Err(error) => return Err(error),
        };
        self.remember(&plan, step, decode);
        Ok(())
    }

    /// As [`Pipeline::rehearse`] for captions of each of these numbers of tokens, for a size that is
    /// asked for later; nothing where no plans are made.
    ///
    /// # Errors
    /// As [`Pipeline::rehearse`].
    pub fn rehearse_later(&self, params: &Params, captions: &[usize]) -> Result<()> {
        let Device::Cuda(_) = self.device else { return Ok(()) };
        captions.iter().try_for_each(|&tokens| self.rehearse(params, tokens).map(drop))?;
        match (self.footprint.get(), captions) {
            (None, &[caption, ..]) => self.settle(params, caption),
            _ => Ok(()),
        }
    }

    /// Makes a preview, as the first one finds out how colours are encoded, where that is not known.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn rehearse_preview(&self) -> Result<()> {
        let latents = Tensor::f_zeros([1, self.channels, 8, 8], (Kind::Float, self.device))?;
        self.decoding.ask(move |vae| vae.preview(&latents).map(drop)).wait()
    }

    /// Makes the plan of attention over an image of this size alone.
    pub(super) fn plan_refiner(&self, plan: &Plan) -> Result<()> {
        let Device::Cuda(_) = self.device else { return Ok(()) };
        let (height, width) = self.latent_size(plan);
        self.transformer.rehearse_refiner(self.transformer.grid(height, width))
    }

    /// Makes the plan of attention for captions of up to `tokens` beside images of this size, which
    /// takes some 0.05 s where there are such plans. Nothing comes of it.
    ///
    /// # Errors
    /// As [`Pipeline::rehearse`].
    pub fn plan_attention(&self, params: &Params, tokens: usize) -> Result<()> {
        self.plan_joint(&self.plan(params)?, tokens)
    }

    /// The same for parameters that were checked.
    pub(super) fn plan_joint(&self, plan: &Plan, tokens: usize) -> Result<()> {
        let Device::Cuda(_) = self.device else { return Ok(()) };
        let tokens = tokens.next_multiple_of(SEQUENCE_MULTIPLE as usize) as i64;
        let (height, width) = self.latent_size(plan);
        self.transformer.rehearse_image(tokens, self.transformer.grid(height, width))
    }
}

/// Brings cuBLAS up, which takes some 0.1 s and needs none of our kernels.
pub(super) fn rehearse_product(kind: Kind, device: Device) -> Result<()> {
    let Device::Cuda(_) = device else { return Ok(()) };
    let x = Tensor::f_zeros([64, 64], (kind, device))?;
    x.f_mm(&x).map(drop)?;
    Ok(())
}
