//! A pipeline whose weights are still on their way.
//!
//! Its tensors have their places already, so a GPU can draw with it while the bytes arrive: that
//! loads kernels and makes the plans of cuBLAS and cuDNN, which take as long as the reading.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use zimage_params::limits::{SIZE_MAX, SIZE_MIN};

use super::decoder_thread::Answer;
use super::warmup::rehearse_product;
use super::{
    DecoderThread, DenoiserGraphs, Pipeline, PromptCache, STEPS, WarmupTimings, longest_side,
    most_tokens,
};
use crate::checkpoint::{Checkpoint, Component};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::nn::attention_remark;
use crate::ops::Ops;
use crate::options::Options;
use crate::params::{Defaults, Limits, Params, Plan};
use crate::schedule;
use crate::text_encoder::TextEncoder;
use crate::tokenizer::PromptTokenizer;
use crate::transformer::Transformer;
use crate::vae::Vae;
use crate::weights::{LoadedFrom, Loader, RetainedWeights, Target};

/// A pipeline that cannot be asked for images yet.
#[derive(Debug)]
pub struct LoadingPipeline {
    pipeline: Pipeline,
    /// Compiled beside all else.
    ops: Option<JoinHandle<(Ops, Vec<String>)>>,
    /// The VAE's weights, which are laid out for them.
    laid_out: Option<Answer<()>>,
    /// Parsed beside all else: 11 MB of JSON take a moment.
    tokenizer: JoinHandle<Result<PromptTokenizer>>,
    /// A decoding for nothing that was begun, and its size.
    decoding: Option<(Plan, Answer<Duration>)>,
    /// Whether the transformer's weights are to become float8 once they are there.
    float8: bool,
}

impl LoadingPipeline {
    /// Gives all weights their places on the device, and reads those of the VAE, which are few.
    ///
    /// The loader has the rest to do, on any thread, before [`LoadingPipeline::complete`].
    ///
    /// # Errors
    /// When the checkpoint is not what it should be, cannot be read, or does not fit.
    pub fn new(checkpoint: &Checkpoint, options: &Options) -> Result<(Self, Loader)> {
        let loader = Loader::retaining(checkpoint, options.device)?;
        Self::placed(checkpoint, options, loader)
    }

    /// As [`LoadingPipeline::new`], with weights that an earlier process kept: the loader reads none, and
    /// checks them.
    ///
    /// # Errors
    /// As [`LoadingPipeline::new`]; and [`Error::NotRetained`] if they are not certain to be those of the
    /// checkpoint. After any error, read them anew.
    pub fn from_retained(
        checkpoint: &Checkpoint,
        options: &Options,
        retained: RetainedWeights,
    ) -> Result<(Self, Loader)> {
        let loader = Loader::from_retained(checkpoint, options.device, retained)?;
        Self::placed(checkpoint, options, loader)
    }

    fn placed(
        checkpoint: &Checkpoint,
        options: &Options,
        mut loader: Loader,
    ) -> Result<(Self, Loader)> {
        let json = checkpoint.tokenizer()?;
        let tokenizer = started("tokenizer", move || PromptTokenizer::from_bytes(&json))?;
        let wished = *options;
        let ops = started("kernels", move || Ops::choose(&wished))?;
        let Options { device, dtype, .. } = wished;
        let target = Target { device, kind: dtype.vae_kind() };
        let vae = Vae::load(loader.weights(&checkpoint, Component::Vae, target)?, &checkpoint.vae)?;
        // What is computed from its weights can be computed from here on. Kept ones are there, and
        // are checked with all others.
        if matches!(loader.loaded_from(), LoadedFrom::Files(_)) {
            loader.run(&mut |_| {})?;
        }
        let target = Target { device, kind: dtype.kind() };
        let text_encoder = TextEncoder::load(
            loader.weights(&checkpoint, Component::TextEncoder, target)?,
            &checkpoint.text_encoder,
        )?;
        let transformer = Transformer::load(
            loader.weights(&checkpoint, Component::Transformer, target)?,
            &checkpoint.transformer,
        )?;
        let vae_scale = checkpoint.vae.scale() as u32;
        let multiple = vae_scale * checkpoint.transformer.patch_size() as u32;
        let tokens_max = most_tokens(checkpoint);
        let side_max = SIZE_MAX.min(longest_side(checkpoint, multiple));
        let limits = Limits { multiple, side_min: SIZE_MIN, side_max, tokens_max };
        let size = (checkpoint.vae.sample_size as u32).clamp(SIZE_MIN, side_max);
        let defaults = Defaults { size: size - size % multiple, steps: STEPS, guidance: 0.0 };
        let pipeline = Pipeline {
            tokenizer: None,
            text_encoder,
            transformer,
            decoding: DecoderThread::new(vae, device)?,
            decoded: RefCell::default(),
            shift: checkpoint.scheduler.shift,
            train_timesteps: checkpoint.scheduler.num_train_timesteps,
            vae_scale,
            channels: checkpoint.transformer.in_channels,
            defaults,
            limits,
            device,
            ops: Ops::Plain,
            captions: RefCell::new(PromptCache::new()),
            flows: RefCell::new(DenoiserGraphs::new()),
            recorder: RefCell::default(),
            footprint: Cell::default(),
            remarks: RefCell::default(),
            memory: None,
        };
        let float8 = dtype == DType::Float8;
        let (ops, laid_out, decoding) = (Some(ops), None, None);
        Ok((Self { pipeline, ops, laid_out, tokenizer, decoding, float8 }, loader))
    }

    /// Brings up what every image needs, cuBLAS and our kernels, and beside it what images of
    /// these sizes do, with captions of so many tokens: attention's plans, and the decoder's for the
    /// first size. Says how long it took.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn bring_up(&mut self, sizes: &[Params], captions: &[usize]) -> Result<Duration> {
        let begun = Instant::now();
        let (kind, device) = (self.pipeline.transformer.kind(), self.pipeline.device);
        // cuBLAS is the process's, unlike cuDNN's plans: any thread can bring it up.
        let product = started("cublas", move || rehearse_product(kind, device))?;
        let prepared = self.prepare(sizes, captions);
        for result in [joined(product), prepared] {
            match result {
                // There may be room for what images do one after the other.
                Err(error) if error.kind() == ErrorKind::Memory => {}
                other => other?,
            }
        }
        Ok(begun.elapsed())
    }

    /// What is done beside cuBLAS: by the time that the first plan is made the kernels are there,
    /// and the decoder, which takes longest, begins.
    fn prepare(&mut self, sizes: &[Params], captions: &[usize]) -> Result<()> {
        // A size that is refused is for who draws it to hear of.
        let known = |size: &Params| self.pipeline.plan(size).ok();
        let plans: Vec<Plan> = sizes.iter().filter_map(known).collect();
        for (at, plan) in plans.iter().enumerate() {
            self.pipeline.plan_refiner(plan)?;
            self.take_ops();
            if at == 0 {
                // That of another size would be measured as a part of this one's memory.
                let begun = self.pipeline.begin_decoding(plan)?;
                self.decoding = begun.map(|answer| (plan.clone(), answer));
            }
            captions.iter().try_for_each(|&tokens| self.pipeline.plan_joint(plan, tokens))?;
        }
        Ok(())
    }

    /// As [`Pipeline::rehearse`]; the weights may be on their way, unless they are on a CPU.
    ///
    /// # Errors
    /// When libtorch fails (out of memory), or the size is refused.
    pub fn rehearse(&mut self, params: &Params, caption: usize) -> Result<WarmupTimings> {
        self.take_ops();
        let plan = self.pipeline.plan(params)?;
        let begun = self.decoding.take().filter(|(size, _)| *size == plan);
        let decoded = begun.map(|(_, answer)| answer);
        let rehearsal = match self.pipeline.rehearse_beside(params, caption, decoded) {
            // It has step and decoding side by side; one after the other they may fit.
            Err(error) if error.kind() == ErrorKind::Memory => WarmupTimings::default(),
            other => other?,
        };
        self.pipeline.settle(params, caption)?;
        Ok(rehearsal)
    }

    /// Waits for the kernels, and has the VAE's weights, which were read, laid out for them.
    fn take_ops(&mut self) {
        let Some(ops) = self.ops.take() else { return };
        let (ops, remarks) = joined(ops);
        self.pipeline.ops = ops;
        self.pipeline.remarks.get_mut().extend(remarks);
        if let Ops::Fused(kernels) = &self.pipeline.ops {
            let kernels = kernels.clone();
            self.laid_out = Some(self.pipeline.decoding.ask(move |vae| vae.fuse(&kernels)));
        }
    }

    /// The pipeline, once its loader has run.
    ///
    /// # Errors
    /// When the tokenizer cannot be used, or the loader has not run.
    pub fn complete(mut self, loader: Loader) -> Result<Pipeline> {
        self.take_ops();
        if !loader.is_done() {
            return Err(Error::Internal("the weights have not been read".to_owned()));
        }
        let Self { mut pipeline, laid_out, tokenizer, float8, .. } = self;
        pipeline.forget();
        if float8 {
            pipeline.transformer.make_float8()?;
        }
        // Images of the usual number of steps find this; it takes milliseconds.
        let sigmas = schedule::sigmas(STEPS, pipeline.shift);
        let time = |&sigma: &f32| schedule::time(sigma, pipeline.train_timesteps);
        let times: Vec<f32> = sigmas[..STEPS as usize].iter().map(time).collect();
        pipeline.transformer.modulate(&times)?;
        let remark = attention_remark(pipeline.device, pipeline.transformer.kind());
        pipeline.remarks.get_mut().extend(remark);
        pipeline.tokenizer = Some(joined(tokenizer)?);
        if let Some(laid_out) = laid_out {
            laid_out.wait()?;
        }
        pipeline.memory = Some(loader.into_weights());
        Ok(pipeline)
    }
}

/// Runs on a thread of its own, beside what takes time at the start.
fn started<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|e| Error::Internal(format!("a thread cannot be started: {e}")))
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
