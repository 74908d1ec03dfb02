//! The Z-Image transformer: noisy latents, time and prompt embeddings to the velocity prediction.
//!
//! Source: diffusers `models/transformers/transformer_z_image.py` (`ZImageTransformer2DModel`).
//! One image at a time, so sequences carry no batch dimension and need no mask.

mod control;
mod modulations;
mod patch;
mod rope;
mod stack;
mod time;

use std::cell::{Cell, RefCell};

use tch::{Device, Kind, Tensor};

use crate::checkpoint::TransformerConfig;
use crate::error::{Error, Result};
use crate::lru::LruCache;
use crate::nn::{Linear, Precision, Visitor};
use crate::ops::{Ops, RmsNorm, Rotation, Scale};
use crate::weights::Weights;
use control::StepTokens;
pub(crate) use control::{Control, ControlNet};
pub(crate) use modulations::Modulations;
pub(crate) use patch::Grid;
use rope::RopeTables;
use stack::Stack;
use time::TimeEmbedder;

/// Sequences are padded to a multiple of this with learnt tokens, which attention includes.
pub(crate) const SEQUENCE_MULTIPLE: i64 = 32;

/// Capacity of the cache of modulations, in times: 1 MB each at the real size.
const TIMES_KEPT: usize = 32;
/// Capacity of the cache of rotations, in numbers of 4 bytes: some 16 sizes of 1024².
const ROTATIONS_KEPT: usize = 16 << 20;

/// The transformer.
#[derive(Debug)]
pub(crate) struct Transformer {
    time: TimeEmbedder,
    image_embedder: Linear,
    prompt_norm: RmsNorm,
    prompt_embedder: Linear,
    image_pad: Tensor,
    prompt_pad: Tensor,
    noise_refiner: Stack,
    context_refiner: Stack,
    layers: Stack,
    last: FinalLayer,
    rope: RopeTables,
    /// By the adapters that change modulation, and the bits of the time.
    modulations: RefCell<LruCache<(u64, u32), Modulations>>,
    /// The adapters that change modulation now; 0 for none.
    modulation_adapters: Cell<u64>,
    /// By prompt tokens and grid.
    rotations: RefCell<LruCache<(i64, Grid), Rotations>>,
    config: TransformerConfig,
    precision: Precision,
    device: Device,
}

/// A prompt's tokens as input of the main layers, and the rotations of all tokens.
///
/// It depends on the prompt and the image's size: computed once, used in every step.
#[derive(Debug)]
pub(crate) struct Context {
    /// The prompt's tokens after the context refiner, `[padded tokens, dim]`.
    prompt: Tensor,
    grid: Grid,
    rotations: Rotations,
}

/// The rotations of an image's tokens, and of the image's followed by the prompt's.
#[derive(Debug)]
struct Rotations {
    image: Rotation,
    joint: Rotation,
}

#[derive(Debug)]
struct FinalLayer {
    modulation: Linear,
    linear: Linear,
    width: i64,
}

impl Transformer {
    /// Takes all weights.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or surplus, or cannot be read.
    pub(crate) fn load(mut w: Weights<'_>, config: &TransformerConfig) -> Result<Self> {
        let precision = Precision::of(w.kind());
        let device = w.device();
        let (dim, time_width) = (config.dim, config.time_width());
        let patch = format!("{}-{}", config.patch_size(), config.frame_patch_size());
        let patch_width = config.patch_width();
        let stack = |w: &mut Weights<'_>, group: &str, count: i64, time_width: Option<i64>| {
            Stack::load(w, (group, count), config, time_width, precision)
        };
        let model = Self {
            time: TimeEmbedder::load(&mut w, time_width, config.t_scale)?,
            image_embedder: Linear::load_with_bias(
                &mut w,
                &format!("all_x_embedder.{patch}"),
                patch_width,
                dim,
            )?,
            prompt_norm: RmsNorm::load(
                &mut w,
                "cap_embedder.0",
                config.cap_feat_dim,
                config.norm_eps,
            )?,
            prompt_embedder: Linear::load_with_bias(
                &mut w,
                "cap_embedder.1",
                config.cap_feat_dim,
                dim,
            )?,
            image_pad: w.take("x_pad_token", &[1, dim])?,
            prompt_pad: w.take("cap_pad_token", &[1, dim])?,
            noise_refiner: stack(
                &mut w,
                "noise_refiner",
                config.n_refiner_layers,
                Some(time_width),
            )?,
            context_refiner: stack(&mut w, "context_refiner", config.n_refiner_layers, None)?
                .of_prompts(),
            layers: stack(&mut w, "layers", config.n_layers, Some(time_width))?,
            last: FinalLayer::load(
                &mut w,
                &format!("all_final_layer.{patch}"),
                dim,
                time_width,
                patch_width,
            )?,
            rope: RopeTables::new(config.rope_theta, &config.axes_dims),
            modulations: RefCell::new(LruCache::new(TIMES_KEPT)),
            modulation_adapters: Cell::new(0),
            rotations: RefCell::new(LruCache::new(ROTATIONS_KEPT)),
            config: config.clone(),
            precision,
            device,
        };
        w.finish()?;
        Ok(model)
    }

    /// A prompt's tokens after the context refiner, `[padded tokens, dim]`; `embeddings`, the prompt
    /// embeddings, are `[tokens, cap_feat_dim]`. If they include padding, `real` `[padded tokens, 1]`
    /// marks the rows that are not padding.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn refine_prompt(
        &self,
        ops: &Ops,
        embeddings: &Tensor,
        real: Option<&Tensor>,
        rotation: &Rotation,
    ) -> Result<Tensor> {
        let norm = Scale { norm: &self.prompt_norm, factor: None };
        let normed = ops.norm(embeddings, norm, false)?;
        let prompt = self.prompt_embedder.forward_rows(&normed)?;
        let prompt = match real {
            Some(real) => prompt.f_where_self(real, &self.prompt_pad)?,
            None => pad(prompt, &self.prompt_pad)?,
        };
        let prompt = prompt.f_to_kind(self.precision.residual)?;
        self.context_refiner.forward(ops, prompt, rotation, &[], usize::MAX)
    }

    /// The rotation of a prompt of `tokens` tokens, padding included.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn prompt_rotation(&self, tokens: i64) -> Result<Rotation> {
        self.rope.rotation(&prompt_positions(tokens), self.device)
    }

    /// Combines a prompt with images of `grid`'s size.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn context(&self, prompt: Tensor, grid: Grid) -> Result<Context> {
        let rotations = self.rotations(prompt.size()[0], grid)?;
        Ok(Context { prompt, grid, rotations })
    }

    fn rotations(&self, tokens: i64, grid: Grid) -> Result<Rotations> {
        let mut cache = self.rotations.borrow_mut();
        let rotations = cache.get_or_make((tokens, grid), || {
            // The image follows the prompt on the first axis, and precedes it in the sequence.
            let image = grid.positions(tokens + 1);
            let joint: Vec<_> = image.iter().copied().chain(prompt_positions(tokens)).collect();
            let numbers = (image.len() + joint.len()) * self.rope.width();
            let rotation = |positions: &[[i64; 3]]| self.rope.rotation(positions, self.device);
            let rotations = Rotations { image: rotation(&image)?, joint: rotation(&joint)? };
            Ok::<_, Error>((rotations, numbers))
        })?;
        Ok(rotations.shallow_clone())
    }

    /// The model's output, which is minus the velocity; `modulations` are those of the time.
    ///
    /// `latents` is `[1, channels, height, width]`; so is the result, in the compute kind.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn forward(
        &self,
        ops: &Ops,
        latents: &Tensor,
        modulations: &Modulations,
        context: &Context,
    ) -> Result<Tensor> {
        self.forward_through(ops, latents, modulations, context, (None, usize::MAX))
    }

    /// The same at the time `t`, steered by a control image.
    ///
    /// # Errors
    /// When libtorch fails (out of memory), or the file of streamed weights cannot be read.
    pub(crate) fn forward_steered(
        &self,
        ops: &Ops,
        latents: &Tensor,
        t: f32,
        context: &Context,
        control: Control<'_>,
    ) -> Result<Tensor> {
        let modulations = self.modulations(t)?;
        self.forward_through(ops, latents, &modulations, context, (Some((control, t)), usize::MAX))
    }

    /// Does what [`Transformer::forward`] does with the first block of each stack alone, which all
    /// others are like: loads its kernels and makes its plans, and nothing comes of it.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn warm_up(&self, ops: &Ops, latents: &Tensor, context: &Context) -> Result<()> {
        let modulations = self.modulations(0.0)?;
        self.forward_through(ops, latents, &modulations, context, (None, 1)).map(drop)
    }

    fn forward_through(
        &self,
        ops: &Ops,
        latents: &Tensor,
        modulations: &Modulations,
        context: &Context,
        (control, blocks): (Option<(Control<'_>, f32)>, usize),
    ) -> Result<Tensor> {
        let Context { prompt, grid, rotations } = context;
        let patches = grid.patchify(&latents.f_to_kind(self.precision.compute)?)?;
        let image = pad(self.image_embedder.forward(&patches)?, &self.image_pad)?;
        let image = image.f_to_kind(self.precision.residual)?;
        let (refiner, layers) = (&modulations.noise_refiner, &modulations.layers);
        // Held beside the refined tokens where the control blocks begin with them.
        let embedded = control.map(|_| image.shallow_clone());
        let refined = self.noise_refiner.forward(ops, image, &rotations.image, refiner, blocks)?;
        let joint = Tensor::f_cat(&[&refined, prompt], 0)?;
        let joint = match control.zip(embedded) {
            Some(((control, t), embedded)) => {
                let own = control.modulations(self, t)?;
                let tokens = StepTokens { embedded: &embedded, refined: &refined, prompt };
                let of = (self, rotations);
                let mut hints = control.begin(ops, of, tokens, (&own, refiner), blocks)?;
                drop((embedded, refined));
                let mut add = |block: usize, sum: &Tensor| hints.add_to(block, sum);
                self.layers.forward_with(ops, joint, &rotations.joint, layers, blocks, &mut add)?
            }
            None => self.layers.forward(ops, joint, &rotations.joint, layers, blocks)?,
        };
        let image = joint.f_narrow(0, 0, grid.tokens())?;
        grid.unpatchify(&self.last.forward(&image, modulations.last(), self.precision.compute)?)
    }

    /// What [`Transformer::forward`] does for each of several images and prompts at the same time, with one
    /// product for all rows: matrix products of more rows may round differently.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn forward_together(
        &self,
        ops: &Ops,
        all: &[(&Tensor, &Context)],
        modulations: &Modulations,
    ) -> Result<Vec<Tensor>> {
        let embedded = all.iter().map(|(latents, context)| {
            let patches = context.grid.patchify(&latents.f_to_kind(self.precision.compute)?)?;
            let image = pad(self.image_embedder.forward(&patches)?, &self.image_pad)?;
            Ok(image.f_to_kind(self.precision.residual)?)
        });
        let images = Tensor::f_cat(&embedded.collect::<Result<Vec<_>>>()?, 0)?;
        let several = |of: fn(&Rotations) -> &Rotation| {
            let each = all.iter().map(|(_, context)| of(&context.rotations).shallow_clone());
            Rotation::Several(each.collect())
        };
        let (refiner, layers) = (&modulations.noise_refiner, &modulations.layers);
        let image = several(|rotations| &rotations.image);
        let refined = self.noise_refiner.forward(ops, images, &image, refiner, usize::MAX)?;
        let refined = refined.f_split_with_sizes(&image.lengths()[..], 0)?;
        let prompts = all.iter().map(|(_, context)| &context.prompt);
        let rows: Vec<&Tensor> =
            refined.iter().zip(prompts).flat_map(|(image, prompt)| [image, prompt]).collect();
        let joint = several(|rotations| &rotations.joint);
        let rows = Tensor::f_cat(&rows, 0)?;
        let rows = self.layers.forward(ops, rows, &joint, layers, usize::MAX)?;
        let rows = rows.f_split_with_sizes(&joint.lengths()[..], 0)?;
        let outputs = rows.iter().zip(all).map(|(rows, (_, context))| {
            let image = rows.f_narrow(0, 0, context.grid.tokens())?;
            let last = self.last.forward(&image, modulations.last(), self.precision.compute)?;
            context.grid.unpatchify(&last)
        });
        outputs.collect()
    }

    /// Visits the linear maps of a prompt's tokens.
    pub(crate) fn visit_prompt<'a>(&'a self, visitor: Visitor<'a, '_>) {
        visitor(&self.prompt_embedder, 1.0);
        self.context_refiner.visit(visitor);
    }

    /// Visits the linear maps of a denoising step.
    pub(crate) fn visit_step<'a>(&'a self, visitor: Visitor<'a, '_>) {
        visitor(&self.image_embedder, 1.0);
        self.noise_refiner.visit(visitor);
        self.layers.visit(visitor);
        visitor(&self.last.linear, 1.0);
    }

    /// Visits the linear maps of the time.
    pub(crate) fn visit_modulation<'a>(&'a self, visitor: Visitor<'a, '_>) {
        self.time.visit(visitor);
        self.noise_refiner.visit_modulation(visitor);
        self.layers.visit_modulation(visitor);
        visitor(&self.last.modulation, 1.0);
    }

    /// Says which adapters change modulation from now on; 0 for none.
    pub(crate) fn set_modulation_adapters(&self, adapters: u64) {
        self.modulation_adapters.set(adapters);
    }

    /// The modulations of the time `t`, cached.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn modulations(&self, t: f32) -> Result<Modulations> {
        let mut cache = self.modulations.borrow_mut();
        let key = (self.modulation_adapters.get(), t.to_bits());
        let made = cache.get_or_make(key, || Ok((self.modulations_at(t)?, 1)));
        made.map(|made| made.shallow_clone())
    }

    /// Computes and caches the modulations of these times. One by one: a product of several rows rounds
    /// differently from one of a single row, and an image would depend on the cache's history.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn modulate(&self, times: &[f32]) -> Result<()> {
        let adapters = self.modulation_adapters.get();
        if times.iter().all(|t| self.modulations.borrow().contains(&(adapters, t.to_bits()))) {
            return Ok(());
        }
        let stacks = [&self.noise_refiner, &self.layers];
        stacks.iter().try_for_each(|stack| stack.hold_modulation_layers(true))?;
        let done = times.iter().try_for_each(|&t| self.modulations(t).map(drop));
        stacks.iter().try_for_each(|stack| stack.hold_modulation_layers(false))?;
        done
    }

    fn modulations_at(&self, t: f32) -> Result<Modulations> {
        let embedded = self.time.forward(t, self.precision.compute, self.device)?;
        let mut blocks = self.noise_refiner.modulations(&embedded)?;
        let refiners = blocks.len();
        blocks.extend(self.layers.modulations(&embedded)?);
        let blocks = Tensor::f_stack(&blocks, 1)?;
        let last = self.last.scale(&embedded)?;
        Modulations::of(blocks.f_get(0)?, last, refiners)
    }

    /// Its dimensions.
    pub(crate) fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The kind of the residual stream.
    pub(crate) fn residual_kind(&self) -> Kind {
        self.precision.residual
    }

    /// The kind of matrix products.
    pub(crate) fn kind(&self) -> Kind {
        self.precision.compute
    }

    /// Builds attention's plan and the rotations for a prompt of `tokens` tokens, a multiple of
    /// [`SEQUENCE_MULTIPLE`], beside an image.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn plan_joint_attention(&self, tokens: i64, grid: Grid) -> Result<()> {
        self.rotations(tokens, grid)?;
        self.layers.plan_attention(padded(grid) + tokens, self.precision.compute, self.device)
    }

    /// Builds attention's plan for an image alone, which every image of this size needs.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn plan_refiner_attention(&self, grid: Grid) -> Result<()> {
        self.noise_refiner.plan_attention(padded(grid), self.precision.compute, self.device)
    }

    /// Converts the matrices of the main layers to float8, once they are loaded. Refiners, embedders,
    /// modulation and the final layer stay as they are: they are a sixteenth of the work, and float8
    /// there degrades images.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn make_float8(&mut self) -> Result<()> {
        self.layers.make_float8()
    }

    /// Forgets what was computed from weights that were not yet read.
    pub(crate) fn forget(&self) {
        self.modulations.borrow_mut().clear();
    }

    /// The grid of an image whose latents are `height` × `width`.
    pub(crate) fn grid(&self, height: i64, width: i64) -> Grid {
        Grid::new(self.config.in_channels, height, width, self.config.patch_size())
    }
}

impl FinalLayer {
    fn load(
        w: &mut Weights<'_>,
        name: &str,
        width: i64,
        time_width: i64,
        patch_width: i64,
    ) -> Result<Self> {
        Ok(Self {
            modulation: Linear::load_with_bias(
                w,
                &format!("{name}.adaLN_modulation.1"),
                time_width,
                width,
            )?,
            linear: Linear::load_with_bias(w, &format!("{name}.linear"), width, patch_width)?,
            width,
        })
    }

    /// The norm's factor at a time `[1, time width]`: `[1, dim]`.
    fn scale(&self, time: &Tensor) -> Result<Tensor> {
        Ok(self.modulation.forward(&time.f_silu()?)?.f_add_scalar(1.0)?)
    }

    /// `x` is `[tokens, dim]`, `scale` `[1, dim]`; the result is `[tokens, patch width]`.
    fn forward(&self, x: &Tensor, scale: &Tensor, compute: Kind) -> Result<Tensor> {
        let none = None::<&Tensor>;
        let normed = x.f_layer_norm([self.width], none, none, 1e-6, true)?.f_to_kind(compute)?;
        self.linear.forward(&normed.f_mul(scale)?)
    }
}

impl Context {
    /// The prompt's tokens, `[padded tokens, dim]`.
    pub(crate) fn prompt(&self) -> &Tensor {
        &self.prompt
    }

    /// The shape that a captured step depends on: the prompt's tokens and the image's grid.
    pub(crate) fn shape(&self) -> (i64, Grid) {
        (self.prompt.size()[0], self.grid)
    }

    /// A copy with its own memory for the prompt.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn copy(&self) -> Result<Self> {
        let rotations = self.rotations.shallow_clone();
        Ok(Self { prompt: self.prompt.f_detach_copy()?, grid: self.grid, rotations })
    }
}

impl Rotations {
    fn shallow_clone(&self) -> Self {
        Self { image: self.image.shallow_clone(), joint: self.joint.shallow_clone() }
    }
}

/// Positions of prompt tokens, padding included: (1, 0, 0), (2, 0, 0), …
fn prompt_positions(tokens: i64) -> Vec<[i64; 3]> {
    (1..=tokens).map(|i| [i, 0, 0]).collect()
}

/// The number of an image's tokens, padding included.
fn padded(grid: Grid) -> i64 {
    (grid.tokens() as u64).next_multiple_of(SEQUENCE_MULTIPLE as u64) as i64
}

/// Pads `x` `[tokens, dim]` with `token` `[1, dim]` to the sequence multiple.
fn pad(x: Tensor, token: &Tensor) -> Result<Tensor> {
    let missing = -x.size()[0] & (SEQUENCE_MULTIPLE - 1);
    if missing == 0 {
        return Ok(x);
    }
    Ok(Tensor::f_cat(&[&x, &token.f_expand([missing, -1], false)?], 0)?)
}
