//! The pipeline: prompt to image.
//!
//! Source: diffusers `pipelines/z_image/pipeline_z_image.py`. The loop over steps is the caller's,
//! see [`Generation`].

mod controls;
mod cuda_graphs;
mod decoder_thread;
mod defaults;
mod engine;
mod generation;
mod guidance;
mod image_inputs;
mod loading;
mod memory;
mod networks;
mod noise;
mod prompt_cache;
mod sanity;
mod snapshot;
mod streaming_plan;
mod variety;
mod warmup;

use tch::{Device, Tensor};

use crate::adapters::AdapterChoice;
use crate::checkpoint::adapter::LinearMaps;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::params::{Defaults, InputImages, Limits, Params, ResolvedParams};
use crate::tokenizer::PromptTokenizer;
use crate::weights::{LoadedWeights, WeightDescriptors};
pub use controls::ControlChoice;
use engine::Engine;
pub use generation::{Conditioning, Generation};
pub use image_inputs::{ControlImage, EncodedImages, ImageInputs};
pub use loading::{LoadingPipeline, WarmPipeline};
pub use memory::{Fit, ImageRoom};
pub use snapshot::Snapshot;
pub use warmup::{
    LoadingWarmup, Measure, WarmupEvent, WarmupPlan, WarmupSize, WarmupStep, WarmupTimings,
};

/// The whole model, loaded. Requests share it on one thread.
#[derive(Debug)]
pub struct Pipeline {
    tokenizer: PromptTokenizer,
    engine: Engine,
    /// The arenas that the networks' tensors lie in; dropped after them.
    weights: LoadedWeights,
}

/// What the model takes, and its weights.
impl Pipeline {
    /// The parameters of a request that states none.
    pub fn defaults(&self) -> Defaults {
        self.engine.networks.defaults
    }

    /// What requests may ask for.
    pub fn limits(&self) -> Limits {
        self.engine.networks.limits
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.engine.networks.device
    }

    /// Checks parameters of a request without images and fills in the defaults.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what the model does not take.
    pub fn resolve(&self, params: &Params) -> Result<ResolvedParams> {
        self.resolve_with(params, InputImages::NONE)
    }

    /// The same of a request with these images.
    ///
    /// # Errors
    /// As [`Pipeline::resolve`].
    pub fn resolve_with(&self, params: &Params, images: InputImages) -> Result<ResolvedParams> {
        self.engine.networks.resolve(params, images)
    }

    /// Hands out the weights' memory, to be retained beyond this process for
    /// [`LoadingPipeline::from_retained`].
    ///
    /// # Errors
    /// [`Error::NotRetained`] where memory ends with its process, and why.
    pub fn retain(&self) -> Result<WeightDescriptors> {
        self.weights.retain()
    }

    /// Compares the weights with the checksum of what was read: milliseconds on a GPU.
    ///
    /// # Errors
    /// [`Error::NotRetained`] if they differ; or when libtorch fails.
    #[doc(hidden)]
    pub fn check_weights(&self) -> Result<()> {
        self.weights.check()
    }
}

/// The stages of a generation.
impl Pipeline {
    /// Applies these adapters and no others to what is computed from now on. The weights stay as they are.
    ///
    /// # Errors
    /// [`Error::Adapter`] for a file that is no adapter of this model; or when libtorch fails (out of
    /// memory). Then none is applied.
    pub fn adapt(&self, choices: &[AdapterChoice]) -> Result<()> {
        self.engine.adapt(choices)
    }

    /// The linear maps that adapters can change, by all of their names.
    pub fn linear_maps(&self) -> &LinearMaps {
        &self.engine.networks.linear_maps
    }

    /// Encodes a request's prompts.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`]; or when libtorch fails.
    pub fn encode(&self, params: &ResolvedParams) -> Result<Conditioning> {
        let tokens = self.tokens(&params.prompt)?;
        let negative = match &params.negative {
            Some(negative) => Some(self.engine.context(&self.tokens(negative)?, params)?),
            None => None,
        };
        let positive = self.engine.context(&tokens, params)?;
        let features =
            params.variety.map(|_| variety::Features::new(&self.engine, &tokens)).transpose()?;
        self.engine.networks.synchronize()?;
        Ok(Conditioning { positive, negative, features, tokens: tokens.len() })
    }

    /// Encodes a request's images, once for all images that it asks for: in strips where memory is short.
    /// Reads the ControlNet of a control image, unless it was the last one that was used.
    ///
    /// # Errors
    /// [`Error::Refused`] for an image of another size than the parameters'; [`Error::Control`] for a file
    /// that is no ControlNet of this model; or when libtorch fails (out of memory).
    pub fn encode_images(
        &self,
        params: &ResolvedParams,
        images: &ImageInputs,
    ) -> Result<EncodedImages> {
        let Engine { networks, memory, .. } = &self.engine;
        let at_once = memory.encodes_at_once(networks, params)?;
        let net = images.control.as_ref().map(|image| self.engine.control(&image.choice, params));
        let encoded = EncodedImages::new(networks, params, images, (at_once, net.transpose()?))?;
        networks.synchronize()?;
        Ok(encoded)
    }

    /// Token ids of a prompt, template included.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`], which says how many there are.
    pub fn tokens(&self, prompt: &str) -> Result<Vec<i64>> {
        let tokens = self.tokenizer.encode(prompt)?;
        let limit = self.limits().tokens_max;
        if tokens.len() > limit {
            return Err(Error::PromptTooLong { tokens: tokens.len(), limit });
        }
        Ok(tokens)
    }

    /// Starts an image: noise from the seed, or an initial image with such noise.
    ///
    /// An image with an initial image begins at [`ResolvedParams::first_step`].
    ///
    /// The noise comes from libtorch's global generator on the CPU, whatever the device: it is
    /// that of diffusers' `torch.Generator("cpu")`, to the last bits that differ between kinds
    /// of processors.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn start(
        &self,
        params: &ResolvedParams,
        seed: u64,
        images: Option<&EncodedImages>,
    ) -> Result<Generation> {
        self.engine.modulate(params.steps)?;
        Generation::new(&self.engine.networks, params, seed, images)
    }

    /// Resumes an image from the latents of its snapshot after `step` steps.
    ///
    /// # Errors
    /// [`Error::NotResumable`] if the bytes are not those of such an image; or when libtorch
    /// fails (out of memory).
    pub fn resume(
        &self,
        params: &ResolvedParams,
        seed: u64,
        step: u32,
        latents: &[u8],
        images: Option<&EncodedImages>,
    ) -> Result<Generation> {
        self.engine.modulate(params.steps)?;
        snapshot::resume(&self.engine.networks, params, seed, step, (latents, images))
    }

    /// One Euler step.
    ///
    /// # Errors
    /// When libtorch fails (out of memory); then the generation is as it was.
    pub fn step(&self, generation: &mut Generation, conditioning: &Conditioning) -> Result<()> {
        let _output = generation.step(&self.engine, conditioning)?;
        self.engine.networks.synchronize()
    }

    /// As [`Pipeline::step`], and copies the latents to host memory, in the same wait; and a
    /// preview, on request.
    ///
    /// # Errors
    /// As [`Pipeline::step`].
    pub fn step_with_snapshot(
        &self,
        generation: &mut Generation,
        conditioning: &Conditioning,
        with_preview: bool,
    ) -> Result<Snapshot> {
        snapshot::step(&self.engine, generation, conditioning, with_preview)
    }

    /// The length of a snapshot's latents in bytes.
    #[doc(hidden)]
    pub fn snapshot_bytes(&self, params: &ResolvedParams) -> usize {
        snapshot::bytes(&self.engine.networks, params)
    }

    /// The pixels of a generation.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for NaN or infinity; or when libtorch fails (out of memory).
    pub fn decode(&self, generation: &Generation) -> Result<Image> {
        sanity::check_finite(generation.latents())?;
        let Engine { networks, caches, .. } = &self.engine;
        let latents = generation.latents().shallow_clone();
        let bytes = networks.decoder.ask(move |vae| vae.bytes(&latents)).wait()?;
        caches.borrow_mut().decoded.insert(networks.latent_size(generation.params()));
        // Copied to host memory by this thread: the kernel maps memory that another thread frees
        // again for each image.
        Image::from_bytes(&bytes)
    }

    /// As [`Pipeline::decode`], to the bit, in a fraction of the memory and in more time: large feature
    /// maps are computed in strips.
    ///
    /// # Errors
    /// As [`Pipeline::decode`].
    pub fn decode_in_strips(&self, generation: &Generation) -> Result<Image> {
        sanity::check_finite(generation.latents())?;
        let latents = generation.latents().shallow_clone();
        let bytes =
            self.engine.networks.decoder.ask(move |vae| vae.bytes_in_strips(&latents)).wait()?;
        Image::from_bytes(&bytes)
    }
}

/// The device: warm-up, memory, health.
impl Pipeline {
    /// Runs a step of warm-up; a pass has timings.
    ///
    /// # Errors
    /// When libtorch fails (out of memory), or the size is refused.
    pub fn warm_up(&self, step: &WarmupStep) -> Result<Option<WarmupTimings>> {
        warmup::Runner::new(&self.engine).run(step)
    }

    /// Warms up the decoder for this size concurrently with the first denoising steps. Nothing
    /// where it is warm, and where memory for both at once is not certain.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn warm_up_decoder(&self, params: &ResolvedParams) -> Result<()> {
        // The image's own decoding comes after it, and reports what fails.
        warmup::start_decode(&self.engine, params).map(drop)
    }

    /// Whether an image fits the memory that is free now, and how it can be decoded there. Where
    /// nothing was measured, as on a CPU, it fits.
    ///
    /// # Errors
    /// [`Error::TooLarge`], which says what would fit; or when the GPU fails.
    pub fn fit(&self, params: &ResolvedParams) -> Result<Fit> {
        self.engine.fit(params)
    }

    /// Frees all memory that is held only because it may be useful.
    pub fn free_caches(&self) {
        self.engine.free_caches();
    }

    /// Runs a small computation on the device. After a fault of a GPU that only a new process
    /// cures, that fails too.
    ///
    /// # Errors
    /// When the device does not work any more.
    pub fn probe(&self) -> Result<()> {
        sanity::probe(self.device())
    }

    /// Sentences for the log about how it computes; each is returned once.
    pub fn remarks(&self) -> Vec<String> {
        self.engine.take_remarks()
    }
}

/// What only tests and measurements look at.
impl Pipeline {
    /// The text encoder's features of a prompt: `[tokens, cap_feat_dim]`.
    ///
    /// # Errors
    /// As [`Pipeline::encode`].
    #[doc(hidden)]
    pub fn features(&self, prompt: &str) -> Result<Tensor> {
        let Engine { networks, ops, .. } = &self.engine;
        prompt_cache::text_features(networks, ops, &self.tokens(prompt)?)
    }

    /// Latents of pixels `[1, 3, 8h, 8w]` of −1 to 1: `[1, channels, h, w]`.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    #[doc(hidden)]
    pub fn latents_of(&self, pixels: &Tensor) -> Result<Tensor> {
        let pixels = pixels.shallow_clone();
        self.engine.networks.decoder.ask(move |vae| vae.encode(&pixels)).wait()
    }

    /// One step of several images of a request, computed together.
    ///
    /// # Errors
    /// As [`Pipeline::step`]; and if they are at different steps.
    #[doc(hidden)]
    pub fn step_together(
        &self,
        generations: &mut [Generation],
        conditioning: &Conditioning,
    ) -> Result<()> {
        Generation::step_together(generations, &self.engine, conditioning)?;
        self.engine.networks.synchronize()
    }

    /// Whether both predictions of guidance are computed together from now on.
    #[doc(hidden)]
    pub fn guide_together(&self, on: bool) {
        self.engine.guides_together.set(on);
    }

    /// Drops cached prompt embeddings and modulation, so that they are computed again.
    #[doc(hidden)]
    pub fn drop_results(&self) {
        self.engine.drop_results();
    }
}
