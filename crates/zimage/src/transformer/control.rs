//! A ControlNet: blocks beside the transformer that turn a control image into hints, which are added to
//! the transformer's layers.
//!
//! Source: diffusers `models/controlnets/controlnet_z_image.py` (`ZImageControlNetModel`). The reference
//! computes all hints first; here each control block is computed just before the layer that its hint is
//! added to, so that one hint is in memory and not fifteen. As in the reference, hints of refiners reach
//! what the control layers see, and not the transformer's own layers.

use std::cell::RefCell;

use tch::{Kind, Tensor};

use super::stack::{Modulation, Stack, StackPass};
use super::{Rotations, TIMES_KEPT, Transformer, pad};
use crate::checkpoint::TransformerConfig;
use crate::checkpoint::control::{ControlRefiner, ControlStructure};
use crate::error::Result;
use crate::lru::LruCache;
use crate::nn::{Linear, Precision};
use crate::ops::Ops;
use crate::weights::Weights;

/// The names of the groups of blocks.
const LAYERS: &str = "control_layers";
const REFINER: &str = "control_noise_refiner";

/// A ControlNet.
#[derive(Debug)]
pub(crate) struct ControlNet {
    embedder: Linear,
    layers: ControlStack,
    refiner: Refiner,
    structure: ControlStructure,
    /// By what the transformer's modulations are cached by.
    modulations: RefCell<LruCache<(u64, u32), ControlModulations>>,
    precision: Precision,
}

/// Control blocks: each has a hint.
#[derive(Debug)]
struct ControlStack {
    /// What the first block begins with.
    before: Projection,
    blocks: Stack,
    /// What makes a block's hint of its tokens.
    after: Vec<Projection>,
}

/// What computes the control image's tokens before the layers.
#[derive(Debug)]
enum Refiner {
    Plain(Stack),
    Own(ControlStack, Vec<usize>),
    Layers(Vec<usize>),
}

/// A product with a bias, of the residual stream.
#[derive(Debug)]
struct Projection {
    weight: Tensor,
    bias: Tensor,
    /// See [`Precision`]: inputs of this size overflow float16 as they do elsewhere.
    guard: f64,
}

/// The modulations of all blocks at one time.
#[derive(Debug)]
struct ControlModulations {
    layers: Vec<Modulation>,
    refiner: Vec<Modulation>,
}

/// A ControlNet with a control image and the strength of its hints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control<'a> {
    pub(crate) net: &'a ControlNet,
    /// The control latents, `[1, channels, height, width]`.
    pub(crate) latents: &'a Tensor,
    /// The factor of hints, of no dimensions, in the residual kind.
    pub(crate) scale: &'a Tensor,
}

/// What a step has when its hints begin: tokens of the image after the embedder and after the refiners,
/// and those of the prompt.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepTokens<'a> {
    pub(super) embedded: &'a Tensor,
    pub(super) refined: &'a Tensor,
    pub(super) prompt: &'a Tensor,
}

/// The hints of the control blocks, in the order of the blocks that they are added to.
pub(super) struct Hints<'a> {
    pass: StackPass<'a>,
    after: &'a [Projection],
    places: &'a [usize],
    scale: &'a Tensor,
    /// How many hints were added.
    added: usize,
}

impl ControlNet {
    /// Takes all weights.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or surplus, or cannot be read.
    pub(crate) fn load(
        mut w: Weights<'_>,
        structure: ControlStructure,
        config: &TransformerConfig,
    ) -> Result<Self> {
        let precision = Precision::of(w.kind());
        let patch = format!("{}-{}", config.patch_size(), config.frame_patch_size());
        let width = config.patch_size().pow(2) * structure.channels;
        let name = format!("control_all_x_embedder.{patch}");
        let embedder = Linear::load_with_bias(&mut w, &name, width, config.dim)?;
        // In the order of their use, as streamed blocks are copied.
        let refiner = match &structure.refiner {
            ControlRefiner::Plain(count) => {
                let time = Some(config.time_width());
                Refiner::Plain(Stack::load(&mut w, (REFINER, *count), config, time, precision)?)
            }
            ControlRefiner::Own(places) => Refiner::Own(
                ControlStack::load(&mut w, (REFINER, places.len()), config, precision)?,
                places.clone(),
            ),
            ControlRefiner::Layers(places) => Refiner::Layers(places.clone()),
        };
        let count = structure.places.len();
        let layers = ControlStack::load(&mut w, (LAYERS, count), config, precision)?;
        w.finish()?;
        let modulations = RefCell::new(LruCache::new(TIMES_KEPT));
        Ok(Self { embedder, layers, refiner, structure, modulations, precision })
    }

    /// What it is made of.
    pub(crate) fn structure(&self) -> &ControlStructure {
        &self.structure
    }

    /// Converts the matrices of its blocks to float8, once they are loaded.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn make_float8(&mut self) -> Result<()> {
        self.layers.blocks.make_float8()?;
        match &mut self.refiner {
            // As the model's own refiners.
            Refiner::Plain(_) | Refiner::Layers(_) => Ok(()),
            Refiner::Own(refiner, _) => refiner.blocks.make_float8(),
        }
    }

    /// Computes and caches the modulations of these times, one by one, as the transformer does.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn modulate(&self, transformer: &Transformer, times: &[f32]) -> Result<()> {
        let key = |t: &f32| (transformer.modulation_adapters.get(), t.to_bits());
        if times.iter().all(|t| self.modulations.borrow().contains(&key(t))) {
            return Ok(());
        }
        let stacks = self.stacks();
        stacks.iter().try_for_each(|stack| stack.hold_modulation_layers(true))?;
        let done = times.iter().try_for_each(|&t| self.modulations(transformer, t).map(drop));
        stacks.iter().try_for_each(|stack| stack.hold_modulation_layers(false))?;
        done
    }

    fn stacks(&self) -> Vec<&Stack> {
        let refiner = match &self.refiner {
            Refiner::Plain(stack) => Some(stack),
            Refiner::Own(refiner, _) => Some(&refiner.blocks),
            Refiner::Layers(_) => None,
        };
        refiner.into_iter().chain([&self.layers.blocks]).collect()
    }

    fn modulations(&self, transformer: &Transformer, t: f32) -> Result<ControlModulations> {
        let key = (transformer.modulation_adapters.get(), t.to_bits());
        let mut cache = self.modulations.borrow_mut();
        let made = cache.get_or_make(key, || {
            let time = transformer.time.forward(t, self.precision.compute, transformer.device)?;
            let of = |stack: &Stack| -> Result<Vec<Modulation>> {
                let blocks = stack.modulations(&time)?;
                blocks.iter().map(|block| Modulation::of(&block.f_get(0)?)).collect()
            };
            let refiner = match &self.refiner {
                Refiner::Plain(stack) => of(stack)?,
                Refiner::Own(refiner, _) => of(&refiner.blocks)?,
                Refiner::Layers(_) => Vec::new(),
            };
            let layers = of(&self.layers.blocks)?;
            Ok::<_, crate::Error>((ControlModulations { layers, refiner }, 1))
        });
        made.map(|made| made.shallow_clone())
    }
}

impl ControlModulations {
    fn shallow_clone(&self) -> Self {
        let clone = |views: &[Modulation]| views.iter().map(Modulation::shallow_clone).collect();
        Self { layers: clone(&self.layers), refiner: clone(&self.refiner) }
    }
}

/// A step's modulations of a ControlNet, which its hints borrow.
#[derive(Debug)]
pub(super) struct StepModulations(ControlModulations);

impl<'a> Control<'a> {
    /// The modulations of a step.
    pub(super) fn modulations(&self, transformer: &Transformer, t: f32) -> Result<StepModulations> {
        self.net.modulations(transformer, t).map(StepModulations)
    }

    /// Begins the hints for the layers: computes the control image's tokens. `most` bounds the blocks of
    /// each stack.
    pub(super) fn begin(
        &self,
        ops: &'a Ops,
        (transformer, rotations): (&Transformer, &'a Rotations),
        tokens: StepTokens<'_>,
        (own, modulations): (&'a StepModulations, &[Modulation]),
        most: usize,
    ) -> Result<Hints<'a>> {
        let Self { net, latents, scale } = *self;
        let Precision { compute, residual, .. } = net.precision;
        let (height, width) = (latents.size()[2], latents.size()[3]);
        let grid = transformer.grid(height, width).of_channels(net.structure.channels);
        let patches = grid.patchify(&latents.f_to_kind(compute)?)?;
        let context = pad(net.embedder.forward(&patches)?, &transformer.image_pad)?;
        let context = context.f_to_kind(residual)?;
        let StepModulations(own) = own;
        let refiner = match &net.refiner {
            Refiner::Plain(_) => None,
            Refiner::Own(refiner, places) => Some((refiner, places, &own.refiner)),
            Refiner::Layers(places) => Some((&net.layers, places, &own.layers)),
        };
        let (context, refined) = match (&net.refiner, refiner) {
            (Refiner::Plain(blocks), _) => {
                let rotation = &rotations.image;
                let context = blocks.forward(ops, context, rotation, &own.refiner, most)?;
                (context, tokens.refined.shallow_clone())
            }
            (_, Some((refiner, places, own))) => {
                let begun = refiner.begin(&context, tokens.embedded)?;
                let pass = refiner.blocks.begin(ops, begun, &rotations.image, own, most);
                let after = &refiner.after;
                let mut hints = Hints { pass, after, places, scale, added: 0 };
                let refined = transformer.noise_refiner.forward_with(
                    ops,
                    tokens.embedded.shallow_clone(),
                    &rotations.image,
                    modulations,
                    most,
                    &mut |block, sum| hints.add_to(block, sum),
                )?;
                (hints.finish()?, refined)
            }
            (_, None) => (context, tokens.refined.shallow_clone()),
        };
        let joined = |image: &Tensor| Tensor::f_cat(&[image, tokens.prompt], 0);
        let begun = net.layers.begin(&joined(&context)?, &joined(&refined)?)?;
        let pass = net.layers.blocks.begin(ops, begun, &rotations.joint, &own.layers, most);
        let (after, places) = (&net.layers.after, &net.structure.places);
        Ok(Hints { pass, after, places, scale, added: 0 })
    }
}

impl Hints<'_> {
    /// Adds the hint of the block `block` to its sum, if it has one.
    pub(super) fn add_to(&mut self, block: usize, sum: &Tensor) -> Result<()> {
        if self.places.get(self.added) != Some(&block) {
            return Ok(());
        }
        if self.pass.advance(&mut |_, _| Ok(()))?
            && let Some(after) = self.after.get(self.added)
        {
            let hint = after.forward(&self.pass.x)?;
            let _ = sum.shallow_clone().f_addcmul_(&hint, self.scale)?;
        }
        self.added += 1;
        Ok(())
    }

    /// The tokens after the last block.
    fn finish(mut self) -> Result<Tensor> {
        while self.pass.advance(&mut |_, _| Ok(()))? {}
        Ok(self.pass.x)
    }
}

impl ControlStack {
    fn load(
        w: &mut Weights<'_>,
        (group, count): (&str, usize),
        config: &TransformerConfig,
        precision: Precision,
    ) -> Result<Self> {
        let time = Some(config.time_width());
        let blocks = Stack::load(w, (group, count as i64), config, time, precision)?;
        let project = |w: &mut Weights<'_>, name: String| {
            let weight = w.take(&format!("{name}.weight"), &[config.dim, config.dim])?;
            let bias = w.take(&format!("{name}.bias"), &[config.dim])?;
            Ok::<_, crate::Error>(Projection { weight, bias, guard: precision.guard })
        };
        let before = project(w, format!("{group}.0.before_proj"))?;
        let after = (0..count).map(|i| project(w, format!("{group}.{i}.after_proj")));
        let after = after.collect::<Result<_>>()?;
        Ok(Self { before, blocks, after })
    }

    /// The tokens that the first block is given: of the control image, and those that it steers.
    fn begin(&self, context: &Tensor, x: &Tensor) -> Result<Tensor> {
        let mut begun = self.before.forward(context)?;
        let _ = begun.f_add_(x)?;
        Ok(begun)
    }
}

impl Projection {
    /// `x` is `[tokens, width]` in the residual kind, and so is the result.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (compute, residual) = (self.weight.f_kind()?, x.f_kind()?);
        if self.guard == 1.0 && compute == residual {
            return Ok(x.f_linear(&self.weight, Some(&self.bias))?);
        }
        let scaled = x.f_mul_scalar(self.guard)?.f_to_kind(compute)?;
        let product = scaled.f_linear(&self.weight, None::<&Tensor>)?.f_to_kind(Kind::Float)?;
        let sum = product.f_mul_scalar(1.0 / self.guard)?.f_add(&self.bias)?;
        Ok(sum.f_to_kind(residual)?)
    }
}
