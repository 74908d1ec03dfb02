//! Prompt to image.
//!
//! Source: diffusers `pipelines/z_image/pipeline_z_image.py`. The loop is the caller's: between
//! two steps a drawing is its latents and a step number, so it can be stopped, overtaken,
//! shown or resumed there.

mod cuda_graphs;
mod decoder_thread;
mod loading;
mod memory;
mod prompt_cache;
mod sanity;
mod snapshot;
mod warmup;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::image::{Image, all_finite};
use crate::ops::Ops;
use crate::options::Options;
use crate::params::{Defaults, Limits, Params, Plan};
use crate::schedule;
use crate::text_encoder::TextEncoder;
use crate::tokenizer::PromptTokenizer;
use crate::transformer::{Context, SEQUENCE_MULTIPLE, Transformer};
use crate::weights::{LoadedWeights, Progress, RetainedWeights};

use cuda_graphs::{DenoiserGraphs, Recorder};
use decoder_thread::DecoderThread;
pub use loading::LoadingPipeline;
pub use memory::Fit;
use memory::Footprint;
use prompt_cache::PromptCache;
pub use snapshot::Snapshot;
pub use warmup::WarmupTimings;

/// Z-Image-Turbo's steps.
const STEPS: u32 = 8;

/// The whole model, loaded.
#[derive(Debug)]
pub struct Pipeline {
    /// There in every complete pipeline.
    tokenizer: Option<PromptTokenizer>,
    text_encoder: TextEncoder,
    transformer: Transformer,
    decoding: DecoderThread,
    /// Sizes that the decoder has met: rows and columns of latents.
    decoded: RefCell<BTreeSet<(i64, i64)>>,
    shift: f64,
    train_timesteps: u32,
    vae_scale: u32,
    channels: i64,
    defaults: Defaults,
    limits: Limits,
    device: Device,
    ops: Ops,
    captions: RefCell<PromptCache>,
    flows: RefCell<DenoiserGraphs>,
    recorder: RefCell<Recorder>,
    /// Measured while rehearsing, on a GPU.
    footprint: Cell<Option<Footprint>>,
    remarks: RefCell<Vec<String>>,
    /// The memory that the networks' tensors lie in; it goes last.
    memory: Option<LoadedWeights>,
}

/// A plan's prompts, encoded.
#[derive(Debug)]
pub struct Conditioning {
    positive: Context,
    negative: Option<Context>,
    tokens: usize,
}

/// An image in the making.
#[derive(Debug)]
pub struct Generation {
    plan: Plan,
    seed: u64,
    sigmas: Vec<f32>,
    step: usize,
    latents: Tensor,
}

impl Pipeline {
    /// Reads a checkpoint onto a device.
    ///
    /// # Errors
    /// When the checkpoint is not what it should be, cannot be read, or does not fit.
    pub fn load(
        checkpoint: &Checkpoint,
        options: &Options,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let (loading, mut loader) = LoadingPipeline::new(checkpoint, options)?;
        loader.run(on_progress)?;
        loading.complete(loader)
    }

    /// What is drawn when nothing is said.
    pub fn defaults(&self) -> Defaults {
        self.defaults
    }

    /// What may be asked for.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Sentences about how it computes that an administrator should read; each is given once.
    pub fn remarks(&self) -> Vec<String> {
        self.remarks.take()
    }

    /// That the weights still are what was read: milliseconds on a GPU.
    ///
    /// # Errors
    /// [`Error::NotRetained`] if their checksum is another; or when libtorch fails.
    pub fn check_weights(&self) -> Result<()> {
        self.memory.as_ref().map_or(Ok(()), LoadedWeights::check)
    }

    /// Hands the weights' memory to whoever shall hold it beyond this process, for
    /// [`LoadingPipeline::from_retained`].
    ///
    /// # Errors
    /// [`Error::NotRetained`] where memory ends with its process, and why.
    pub fn retain(&self) -> Result<RetainedWeights> {
        match &self.memory {
            Some(memory) => memory.retain(),
            None => Err(Error::Internal("the weights have not been read".to_owned())),
        }
    }

    /// Forgets what was computed from the weights and kept: prompts, modulation. For weights that
    /// were not yet read when it was computed.
    pub fn forget(&self) {
        self.captions.borrow_mut().forget();
        self.transformer.forget();
    }

    /// Checks parameters and fills in the defaults.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what the model does not take.
    pub fn plan(&self, params: &Params) -> Result<Plan> {
        Plan::new(params, self.defaults, self.limits)
    }

    /// Encodes a plan's prompts.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`]; or when libtorch fails.
    pub fn encode(&self, plan: &Plan) -> Result<Conditioning> {
        let tokens = self.tokens(&plan.prompt)?;
        let negative = match &plan.negative {
            Some(negative) => Some(self.context(&self.tokens(negative)?, plan)?),
            None => None,
        };
        let positive = self.context(&tokens, plan)?;
        self.wait()?;
        Ok(Conditioning { positive, negative, tokens: tokens.len() })
    }

    /// Token ids of a prompt, template included.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`], which says how many there are.
    pub fn tokens(&self, prompt: &str) -> Result<Vec<i64>> {
        let Some(tokenizer) = &self.tokenizer else {
            return Err(Error::Internal("the tokenizer has not been read".to_owned()));
        };
        let tokens = tokenizer.encode(prompt)?;
        let limit = self.limits.tokens_max;
        if tokens.len() > limit {
            return Err(Error::PromptTooLong { tokens: tokens.len(), limit });
        }
        Ok(tokens)
    }

    /// The text encoder's features of a prompt: `[tokens, cap_feat_dim]`.
    ///
    /// # Errors
    /// As [`Pipeline::encode`].
    pub fn features(&self, prompt: &str) -> Result<Tensor> {
        self.text_features(&self.tokens(prompt)?)
    }

    /// Latents of pixels `[1, 3, 8h, 8w]` of −1 to 1, for images that go in:
    /// `[1, channels, h, w]`.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn latents_of(&self, pixels: &Tensor) -> Result<Tensor> {
        let pixels = pixels.shallow_clone();
        self.decoding.ask(move |vae| vae.encode(&pixels)).wait()
    }

    /// Begins an image: noise from the seed.
    ///
    /// The noise comes from libtorch's global generator on the CPU, whatever the device: it is
    /// that of diffusers' `torch.Generator("cpu")`, to the last bits that differ between kinds
    /// of processors.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn start(&self, plan: &Plan, seed: u64) -> Result<Generation> {
        let (height, width) = self.latent_size(plan);
        let shape = [1, self.channels, height, width];
        let latents = noise(seed, &shape)?.f_to_device(self.device)?;
        let sigmas = schedule::sigmas(plan.steps, self.shift);
        Ok(Generation { plan: plan.clone(), seed, sigmas, step: 0, latents })
    }

    /// One Euler step.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn step(&self, generation: &mut Generation, conditioning: &Conditioning) -> Result<()> {
        let _output = self.advance(generation, conditioning)?;
        self.wait()
    }

    /// A step, which a GPU may still be at. What comes back is the model's output for it.
    fn advance(&self, generation: &mut Generation, conditioning: &Conditioning) -> Result<Tensor> {
        let (sigma, next) =
            (generation.sigmas[generation.step], generation.sigmas[generation.step + 1]);
        let t = schedule::time(sigma, self.train_timesteps);
        let predict = |context: &Context| self.flow(&generation.latents, t, context);
        let positive = predict(&conditioning.positive)?;
        let guidance = generation.plan.guidance_at(t);
        let output = match &conditioning.negative {
            Some(negative) if guidance > 0.0 => {
                let limit = generation.plan.guidance_normalization;
                guided(&positive, &predict(negative)?, guidance, limit)?
            }
            _ => positive,
        };
        // The model's output is minus the velocity.
        let change = output.f_neg()?.f_mul_scalar(f64::from(next - sigma))?;
        generation.latents = generation.latents.f_add(&change)?;
        generation.step += 1;
        Ok(output)
    }

    /// Pixels of a drawing.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for NaN or infinity; or when libtorch fails (out of memory).
    pub fn decode(&self, generation: &Generation) -> Result<Image> {
        if !all_finite(&generation.latents)? {
            return Err(Error::NotFinite("the latents"));
        }
        let latents = generation.latents.shallow_clone();
        let bytes = self.decoding.ask(move |vae| vae.bytes(&latents)).wait()?;
        self.decoded.borrow_mut().insert(self.latent_size(&generation.plan));
        // Brought here by this thread: memory that another one frees is new for it each time.
        Image::from_bytes(&bytes)
    }

    fn context(&self, tokens: &[i64], plan: &Plan) -> Result<Context> {
        let caption = self.caption(tokens)?;
        let (height, width) = self.latent_size(plan);
        self.transformer.context(caption, self.transformer.grid(height, width))
    }

    /// Waits for the GPU, so that a stage that is said to be done is done: the GPU idles for some
    /// 0.1 ms, and progress, times and cancelling are true.
    fn wait(&self) -> Result<()> {
        match self.device {
            Device::Cuda(ordinal) => Ok(zimage_cuda::synchronize(ordinal)?),
            _ => Ok(()),
        }
    }

    fn latent_size(&self, plan: &Plan) -> (i64, i64) {
        (i64::from(plan.height / self.vae_scale), i64::from(plan.width / self.vae_scale))
    }
}

impl Conditioning {
    /// Tokens of the prompt, template included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Generation {
    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step == self.sigmas.len() - 1
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// The seed of its noise.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The latents as they are: `[1, channels, height / 8, width / 8]`, float32, on the device.
    pub fn latents(&self) -> &Tensor {
        &self.latents
    }
}

/// Normal numbers in float32 on the CPU.
fn noise(seed: u64, shape: &[i64]) -> Result<Tensor> {
    /// The generator is the process's: seeding and drawing belong together.
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _ours = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    Ok(Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?)
}

/// Classifier-free guidance on the model's outputs, as the reference has it.
fn guided(positive: &Tensor, negative: &Tensor, guidance: f32, limit: f32) -> Result<Tensor> {
    let difference = positive.f_sub(negative)?.f_mul_scalar(f64::from(guidance))?;
    let guided = positive.f_add(&difference)?;
    if limit <= 0.0 {
        return Ok(guided);
    }
    let norm = |x: &Tensor| -> Result<f64> { Ok(x.f_norm()?.f_double_value(&[])?) };
    let (most, now) = (norm(positive)? * f64::from(limit), norm(&guided)?);
    if now > most { Ok(guided.f_mul_scalar(most / now)?) } else { Ok(guided) }
}

/// The caption takes places 1 … padded length of the first axis, the image the place after.
fn most_tokens(checkpoint: &Checkpoint) -> usize {
    let places = checkpoint.transformer.axes_lens[0] - 2;
    let by_places = places - places % SEQUENCE_MULTIPLE;
    by_places.min(checkpoint.text_encoder.max_position_embeddings).max(0) as usize
}

/// Rows and columns of tokens have places on the second and third axis.
fn longest_side(checkpoint: &Checkpoint, multiple: u32) -> u32 {
    let axes = &checkpoint.transformer.axes_lens;
    u32::try_from(axes[1].min(axes[2])).unwrap_or(u32::MAX).saturating_mul(multiple)
}
