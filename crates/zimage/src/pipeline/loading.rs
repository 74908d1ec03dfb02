//! A pipeline whose weights are loading: tensors are allocated, their contents are not there yet.
//!
//! A GPU can warm up with it meanwhile: that loads kernels and builds the plans of cuBLAS and
//! cuDNN, which takes as long as the reading. The types are the stages: [`LoadingPipeline`] until
//! the kernels are there, [`WarmPipeline`] until the weights are, [`Pipeline`] with both.

use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tch::Device;

use super::Pipeline;
use super::decoder_thread::Answer;
use super::engine::Engine;
use super::memory::{ImageRoom, MemoryEstimate};
use super::networks::Networks;
use super::warmup::{self, LoadingWarmup, Runner, WarmupEvent};
use crate::checkpoint::Checkpoint;
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::nn::attention_warning;
use crate::ops::Ops;
use crate::options::Options;
use crate::tokenizer::PromptTokenizer;
use crate::weights::{Loader, Progress, WeightDescriptors};

/// What streaming integers costs that no file has.
const MADE_EACH_TIME: &str = "8-bit integers are made each time a block is streamed, and twice as much \
                              is copied: `zimg prepare --dtype int8` makes them once";

/// A pipeline that cannot take requests yet.
#[derive(Debug)]
pub struct LoadingPipeline {
    networks: Networks,
    /// The operations, and remarks about them: compiled on a thread, beside all else.
    ops: JoinHandle<(Ops, Vec<String>)>,
    rest: Rest,
}

/// The same with its kernels, warmed up.
#[derive(Debug)]
pub struct WarmPipeline {
    engine: Engine,
    /// The VAE's weights being laid out for the kernels, if there are any.
    layout: Option<Answer<()>>,
    rest: Rest,
}

/// What only a complete pipeline needs.
#[derive(Debug)]
struct Rest {
    /// Parsed on a thread, beside all else, and made there if it comes with the program: 11 MB of JSON take a moment.
    tokenizer: JoinHandle<Result<PromptTokenizer>>,
    /// Whether the transformer's weights are to become float8 once they are there.
    float8: bool,
    /// Whether the files of streamed blocks are to be pinned.
    pinned: bool,
    /// What a memory plan leaves to images.
    room: Option<ImageRoom>,
}

impl LoadingPipeline {
    /// Allocates all weights on the device, and reads those of the VAE, which are few.
    ///
    /// The loader has the rest to read, on any thread, before the pipeline is completed.
    ///
    /// # Errors
    /// When the checkpoint is damaged, cannot be read, or does not fit the device's memory.
    pub fn new(checkpoint: &Checkpoint, options: &Options) -> Result<(Self, Loader)> {
        let loader = Loader::retaining(checkpoint, options.device)?;
        Self::allocate(checkpoint, options, loader)
    }

    /// As [`LoadingPipeline::new`], with weights that an earlier process retained: the loader
    /// reads none, and checks them.
    ///
    /// # Errors
    /// As [`LoadingPipeline::new`]; and [`Error::NotRetained`] if they are not certain to be those of
    /// the checkpoint. After any error, read them from the files.
    pub fn from_retained(
        checkpoint: &Checkpoint,
        options: &Options,
        retained: WeightDescriptors,
    ) -> Result<(Self, Loader)> {
        let loader = Loader::from_retained(checkpoint, options.device, retained)?;
        Self::allocate(checkpoint, options, loader)
    }

    fn allocate(
        checkpoint: &Checkpoint,
        options: &Options,
        mut loader: Loader,
    ) -> Result<(Self, Loader)> {
        // Read here, so that a missing file is told before any weights are read.
        let own = checkpoint.own_tokenizer()?;
        let file = checkpoint.tokenizer_file();
        let tokenizer = started("tokenizer", move || {
            let json = own.unwrap_or_else(zimage_checkpoint::qwen3_tokenizer);
            PromptTokenizer::from_file(file, &json)
        })?;
        let options = *options;
        let ops = started("kernels", move || Ops::choose(&options))?;
        let networks = Networks::allocate(checkpoint, options, &mut loader)?;
        let float8 = options.dtype == DType::Float8;
        let pinned = options.pinned;
        let rest = Rest { tokenizer, float8, pinned, room: None };
        Ok((Self { networks, ops, rest }, loader))
    }

    /// Keeps images, warm-up among them, to what a memory plan leaves.
    #[must_use]
    pub fn with_room(mut self, room: Option<ImageRoom>) -> Self {
        self.rest.room = room;
        self
    }

    /// Warms up, whether or not the weights are there: for a GPU. Reports how long its parts took.
    ///
    /// # Errors
    /// When libtorch fails, or a pass's size is refused.
    pub fn warm_up(
        self,
        warmup: &LoadingWarmup,
        observer: &mut dyn FnMut(WarmupEvent),
    ) -> Result<WarmPipeline> {
        let begun = Instant::now();
        let (kind, device) = (self.networks.transformer.kind(), self.networks.device);
        let cublas = started("cublas", move || warmup::initialize_cublas(kind, device))?;
        let (before_kernels, others) = warmup.split_at_kernels();
        let first = warmup::build_first_plans(&self.networks, before_kernels);
        let warm = self.with_kernels()?;
        let mut runner = Runner::new(&warm.engine);
        let plans = first.and_then(|()| runner.run_plans(others));
        for result in [joined(cublas), plans] {
            match result {
                // What passes do one after the other may fit.
                Err(error) if error.kind() == ErrorKind::Memory => {}
                other => other?,
            }
        }
        observer(WarmupEvent::Plans(begun.elapsed()));
        for step in &warmup.passes {
            if let Some(timings) = runner.run(step)? {
                observer(WarmupEvent::Pass(timings));
            }
        }
        Ok(warm)
    }

    /// Waits for the kernels.
    fn with_kernels(self) -> Result<WarmPipeline> {
        let (mut engine, layout) = Engine::new(self.networks, joined(self.ops));
        engine.memory = MemoryEstimate::with_room(self.rest.room);
        engine.memory.model_is_as_allocated(engine.networks.device)?;
        Ok(WarmPipeline { engine, layout, rest: self.rest })
    }

    /// The pipeline, once its loader has run.
    ///
    /// # Errors
    /// As [`WarmPipeline::complete`].
    pub fn complete(self, loader: Loader) -> Result<Pipeline> {
        self.with_kernels()?.complete(loader)
    }
}

impl WarmPipeline {
    /// The pipeline, once its loader has run.
    ///
    /// # Errors
    /// When the tokenizer cannot be used, or the loader has not run.
    pub fn complete(self, loader: Loader) -> Result<Pipeline> {
        // Taken apart here, so that on an error all tensors are dropped before the loader.
        let Self { mut engine, layout, rest: Rest { tokenizer, float8, pinned, .. } } = self;
        if !loader.is_done() {
            return Err(Error::Internal("the weights have not been read".to_owned()));
        }
        engine.drop_results();
        if let Some(streamer) = &engine.networks.streamer {
            streamer.open();
            if pinned && let Err(error) = streamer.pin() {
                let remark = format!("the checkpoint's files are not pinned: {error}");
                engine.remark(Some(remark));
            }
        }
        let streamer = engine.networks.streamer.as_ref();
        let made = streamer.is_some_and(|streamer| streamer.makes_int8());
        engine.remark(made.then(|| MADE_EACH_TIME.to_owned()));
        if float8 {
            engine.networks.transformer.make_float8()?;
        }
        // Images of the usual number of steps find this; it takes milliseconds.
        let times = engine.networks.times(engine.networks.defaults.steps);
        engine.networks.transformer.modulate(&times)?;
        if engine.networks.streamer.is_some() && matches!(engine.networks.device, Device::Cuda(_)) {
            // The modulation layers were there for a moment.
            zimage_cuda::empty_cache()?;
        }
        engine.memory.model_is_as_allocated(engine.networks.device)?;
        let kind = engine.networks.transformer.kind();
        engine.remark(attention_warning(engine.networks.device, kind));
        engine.remark(loader.remark());
        let tokenizer = joined(tokenizer)?;
        if let Some(layout) = layout {
            layout.wait()?;
        }
        Ok(Pipeline { tokenizer, engine, weights: loader.into_weights() })
    }
}

impl Pipeline {
    /// Reads a checkpoint onto a device. [`LoadingPipeline`] does the same in steps, to warm up
    /// meanwhile.
    ///
    /// # Errors
    /// When the checkpoint is damaged, cannot be read, or does not fit the device's memory.
    pub fn load(
        checkpoint: &Checkpoint,
        options: &Options,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let (loading, mut loader) = LoadingPipeline::new(checkpoint, options)?;
        loader.run(on_progress)?;
        loading.complete(loader)
    }
}

/// Runs work on a thread of its own, beside what takes time at the start.
fn started<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|e| Error::Internal(format!("the thread '{name}' cannot start: {e}")))
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
