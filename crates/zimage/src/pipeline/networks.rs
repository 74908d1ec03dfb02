//! The networks of a checkpoint on their device, and the dimensions that generations take from it.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::decoder_thread::DecoderThread;
use super::defaults;
use super::streaming_plan::StreamingPlan;
use crate::adapters::{MapGroup, VisitedMap};
use crate::checkpoint::adapter::LinearMaps;
use crate::checkpoint::{Checkpoint, Component, VaeConfig};
use crate::dtype::DType;
use crate::error::Result;
use crate::options::Options;
use crate::params::{Defaults, InputImages, Limits, Params, ResolvedParams};
use crate::schedule;
use crate::text_encoder::TextEncoder;
use crate::transformer::{Grid, Transformer};
use crate::vae::Vae;
use crate::weights::streaming::Streamer;
use crate::weights::{Form, LoadedFrom, Loader, Streaming, Target};
use zimage_checkpoint::{DecoderFootprint, EncoderFootprint};

/// The most tokens of a prompt that most requests have.
const PROMPT_TOKENS: i64 = 512;
/// Tensors of all tokens that a step has for a control image: those of control blocks, a hint, and those
/// that the steered blocks begin with.
const CONTROL_TENSORS: i64 = 6;

/// Text encoder, transformer and autoencoder: allocated, whether or not their weights are read.
#[derive(Debug)]
pub(super) struct Networks {
    pub(super) text_encoder: TextEncoder,
    pub(super) transformer: Transformer,
    /// The names of the linear maps.
    pub(super) linear_maps: LinearMaps,
    /// Of the parts of blocks that are not resident, if there are any.
    pub(super) streamer: Option<Rc<Streamer>>,
    pub(super) decoder: DecoderThread,
    pub(super) device: Device,
    pub(super) defaults: Defaults,
    pub(super) limits: Limits,
    /// In which the matrices of its blocks stay on the device.
    pub(super) form: Form,
    /// Whether products of the main layers are in float8.
    pub(super) float8: bool,
    /// Of the schedule.
    shift: f64,
    train_timesteps: u32,
    /// Pixels along a side of a latent.
    vae_scale: u32,
    /// Channels of the latents.
    channels: i64,
    vae: VaeConfig,
    /// Bytes of a number in the autoencoder.
    vae_bytes: u64,
}

impl Networks {
    /// Allocates all tensors on the device, and reads the few weights of the VAE: what is computed
    /// from them can be computed from here on. Retained ones are there already; the loader checks
    /// them with all others.
    pub(super) fn allocate(
        checkpoint: &Checkpoint,
        Options { device, dtype, residency, packed, .. }: Options,
        loader: &mut Loader,
    ) -> Result<Self> {
        let target = Target { device, kind: dtype.vae_kind() };
        let vae = Vae::load(loader.weights(checkpoint, Component::Vae, target)?, &checkpoint.vae)?;
        if matches!(loader.loaded_from(), LoadedFrom::Files(_)) {
            loader.run(&mut |_| {})?;
        }
        let target = Target { device, kind: dtype.kind() };
        let float8 = dtype == DType::Float8;
        let form = Form { packed, float8, int8: dtype.is_int8() };
        let plan = StreamingPlan::new(checkpoint, (residency, form), target.kind)?;
        let streamer = plan
            .streams()
            .then(|| Streamer::new(device, plan.slot_bytes, plan.slots))
            .transpose()?;
        let streaming = |parts| streamer.as_ref().map(|streamer| Streaming { streamer, parts });
        let weights = loader.weights(checkpoint, Component::TextEncoder, target)?;
        let text_encoder = TextEncoder::load(
            weights.form(form.of_text()).streaming(streaming(&plan.text_encoder)),
            &checkpoint.text_encoder,
        )?;
        let weights = loader.weights(checkpoint, Component::Transformer, target)?;
        let transformer = Transformer::load(
            weights.form(form).streaming(streaming(&plan.transformer)),
            &checkpoint.transformer,
        )?;
        let limits = defaults::limits(checkpoint);
        Ok(Self {
            text_encoder,
            transformer,
            linear_maps: LinearMaps::of(checkpoint),
            streamer,
            decoder: DecoderThread::new(vae, device)?,
            device,
            defaults: defaults::defaults(checkpoint, &limits),
            limits,
            form,
            float8,
            shift: checkpoint.scheduler.shift,
            train_timesteps: checkpoint.scheduler.num_train_timesteps,
            vae_scale: checkpoint.vae.scale() as u32,
            channels: checkpoint.transformer.in_channels,
            vae: checkpoint.vae.clone(),
            vae_bytes: dtype.vae_kind().elt_size_in_bytes() as u64,
        })
    }

    /// The linear maps that adapters can change, in a fixed order.
    pub(super) fn maps(&self) -> Vec<VisitedMap<'_>> {
        let mut maps = Vec::new();
        let mut push = |group, map, factor| maps.push(VisitedMap { group, map, factor });
        self.text_encoder.visit(&mut |map, factor| push(MapGroup::Prompt, map, factor));
        self.transformer.visit_prompt(&mut |map, factor| push(MapGroup::Prompt, map, factor));
        self.transformer
            .visit_modulation(&mut |map, factor| push(MapGroup::Modulation, map, factor));
        self.transformer.visit_step(&mut |map, factor| push(MapGroup::Step, map, factor));
        maps
    }

    /// Checks parameters and fills in the defaults.
    pub(super) fn resolve(&self, params: &Params, images: InputImages) -> Result<ResolvedParams> {
        ResolvedParams::new(params, self.defaults, self.limits, images)
    }

    /// Rows and columns of an image's latents.
    pub(super) fn latent_size(&self, params: &ResolvedParams) -> (i64, i64) {
        (i64::from(params.height / self.vae_scale), i64::from(params.width / self.vae_scale))
    }

    /// The memory that decoding an image takes.
    pub(super) fn decoder_footprint(&self, params: &ResolvedParams) -> DecoderFootprint {
        DecoderFootprint::of(&self.vae, (params.height, params.width), self.vae_bytes)
    }

    /// The memory that encoding an initial image of this size takes.
    pub(super) fn encoder_footprint(&self, params: &ResolvedParams) -> EncoderFootprint {
        EncoderFootprint::of(&self.vae, (params.height, params.width), self.vae_bytes)
    }

    /// The memory that a step of an image takes for its control image; 0 without one.
    pub(super) fn control_bytes(&self, params: &ResolvedParams) -> u64 {
        if !params.is_controlled {
            return 0;
        }
        let tokens = self.grid(params).tokens() + PROMPT_TOKENS;
        let numbers = tokens * self.transformer.config().dim * CONTROL_TENSORS;
        numbers as u64 * self.transformer.residual_kind().elt_size_in_bytes() as u64
    }

    /// The shape of latents of this size: `[1, channels, height, width]`.
    pub(super) fn latent_shape(&self, (height, width): (i64, i64)) -> [i64; 4] {
        [1, self.channels, height, width]
    }

    /// Latents of zeros, on the device.
    pub(super) fn zero_latents(&self, size: (i64, i64)) -> Result<Tensor> {
        Ok(Tensor::f_zeros(self.latent_shape(size), (Kind::Float, self.device))?)
    }

    /// The image's tokens.
    pub(super) fn grid(&self, params: &ResolvedParams) -> Grid {
        let (height, width) = self.latent_size(params);
        self.transformer.grid(height, width)
    }

    /// The noise levels of so many steps.
    pub(super) fn sigmas(&self, steps: u32) -> Vec<f32> {
        schedule::sigmas(steps, self.shift)
    }

    /// The transformer's times of so many steps.
    pub(super) fn times(&self, steps: u32) -> Vec<f32> {
        let sigmas = self.sigmas(steps);
        sigmas[..steps as usize].iter().map(|&sigma| self.time(sigma)).collect()
    }

    /// The transformer's time for a noise level.
    pub(super) fn time(&self, sigma: f32) -> f32 {
        schedule::time(sigma, self.train_timesteps)
    }

    /// Waits for what libtorch has launched, so that a stage that is reported as done is done: the GPU
    /// idles for some 0.1 ms, and progress, times and cancellation are exact. Copies of streamed
    /// weights are not waited for: those of the next step go on meanwhile.
    pub(super) fn synchronize(&self) -> Result<()> {
        match self.device {
            Device::Cuda(ordinal) => Ok(zimage_cuda::synchronize_compute(ordinal)?),
            _ => Ok(()),
        }
    }
}
