//! The Z-Image transformer: noisy latents, time and caption to the flow.
//!
//! Source: diffusers `models/transformers/transformer_z_image.py` (`ZImageTransformer2DModel`).
//! One picture at a time, so sequences carry no batch dimension and need no mask.

mod block;
mod patch;
mod rope;
mod time;

use tch::{Device, Tensor};

use crate::checkpoint::{TransformerConfig, Weights};
use crate::error::Result;
use crate::nn::{Linear, Precision, RmsNorm};
use block::Block;
pub(crate) use patch::Grid;
use rope::{RopeTables, Rotation};
use time::TimeEmbedder;

/// Sequences are padded to a multiple of this with learnt tokens, which are attended.
pub(crate) const SEQUENCE_MULTIPLE: i64 = 32;

/// The width of the time embedding, unless the model is narrower.
const TIME_WIDTH: i64 = 256;

/// The transformer.
#[derive(Debug)]
pub(crate) struct Transformer {
    time: TimeEmbedder,
    image_embedder: Linear,
    caption_norm: RmsNorm,
    caption_embedder: Linear,
    image_pad: Tensor,
    caption_pad: Tensor,
    noise_refiner: Vec<Block>,
    context_refiner: Vec<Block>,
    layers: Vec<Block>,
    last: FinalLayer,
    rope: RopeTables,
    config: TransformerConfig,
    precision: Precision,
    device: Device,
}

/// A prompt as the transformer's layers see it, and where the picture's tokens lie beside it.
///
/// Depends on the prompt and the picture's size only: computed once, used at every step.
#[derive(Debug)]
pub(crate) struct Context {
    /// Caption tokens after the context refiner, `[padded tokens, dim]`.
    caption: Tensor,
    grid: Grid,
    image_rotation: Rotation,
    joint_rotation: Rotation,
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
        let (dim, time_width) = (config.dim, config.dim.min(TIME_WIDTH));
        let patch = format!("{}-{}", config.patch_size(), config.frame_patch_size());
        let patch_width = config.patch_size().pow(2) * config.in_channels;
        let blocks = |w: &mut Weights<'_>, group: &str, count: i64, time_width: Option<i64>| {
            (0..count)
                .map(|i| Block::load(w, &format!("{group}.{i}"), config, time_width, precision))
                .collect::<Result<Vec<_>>>()
        };
        let model = Self {
            time: TimeEmbedder::load(&mut w, time_width, config.t_scale)?,
            image_embedder: Linear::load_with_bias(
                &mut w,
                &format!("all_x_embedder.{patch}"),
                patch_width,
                dim,
            )?,
            caption_norm: RmsNorm::load(
                &mut w,
                "cap_embedder.0",
                config.cap_feat_dim,
                config.norm_eps,
            )?,
            caption_embedder: Linear::load_with_bias(
                &mut w,
                "cap_embedder.1",
                config.cap_feat_dim,
                dim,
            )?,
            image_pad: w.take("x_pad_token", &[1, dim])?,
            caption_pad: w.take("cap_pad_token", &[1, dim])?,
            noise_refiner: blocks(
                &mut w,
                "noise_refiner",
                config.n_refiner_layers,
                Some(time_width),
            )?,
            context_refiner: blocks(&mut w, "context_refiner", config.n_refiner_layers, None)?,
            layers: blocks(&mut w, "layers", config.n_layers, Some(time_width))?,
            last: FinalLayer::load(
                &mut w,
                &format!("all_final_layer.{patch}"),
                dim,
                time_width,
                patch_width,
            )?,
            rope: RopeTables::new(config.rope_theta, &config.axes_dims),
            config: config.clone(),
            precision,
            device,
        };
        w.finish()?;
        Ok(model)
    }

    /// Prepares a prompt for pictures of `grid`'s size; `features` is `[tokens, cap_feat_dim]`.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn context(&self, features: &Tensor, grid: Grid) -> Result<Context> {
        let caption = self.caption_embedder.forward(&self.caption_norm.forward(features)?)?;
        let caption = pad(caption, &self.caption_pad)?;
        let tokens = caption.size()[0];
        // Caption tokens, padding too, are at (1, 0, 0), (2, 0, 0), …; the picture comes after.
        let caption_at: Vec<[i64; 3]> = (1..=tokens).map(|i| [i, 0, 0]).collect();
        let image_at = grid.positions(tokens + 1);
        let joint_at: Vec<[i64; 3]> = image_at.iter().chain(&caption_at).copied().collect();
        let rotation = self.rope.rotation(&caption_at, self.device)?;
        let mut caption = caption.f_to_kind(self.precision.residual)?;
        for block in &self.context_refiner {
            caption = block.forward(&caption, &rotation, None)?;
        }
        Ok(Context {
            caption,
            grid,
            image_rotation: self.rope.rotation(&image_at, self.device)?,
            joint_rotation: self.rope.rotation(&joint_at, self.device)?,
        })
    }

    /// The model's output at time `t` (0 = noise, 1 = picture), which is minus the velocity.
    ///
    /// `latents` is `[1, channels, height, width]`; so is the result, in the compute kind.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn forward(&self, latents: &Tensor, t: f32, context: &Context) -> Result<Tensor> {
        let compute = self.precision.compute;
        let time = self.time.forward(t, compute, self.device)?;
        let patches = context.grid.patchify(&latents.f_to_kind(compute)?)?;
        let image = pad(self.image_embedder.forward(&patches)?, &self.image_pad)?;
        let mut image = image.f_to_kind(self.precision.residual)?;
        for block in &self.noise_refiner {
            image = block.forward(&image, &context.image_rotation, Some(&time))?;
        }
        let mut joint = Tensor::f_cat(&[&image, &context.caption], 0)?;
        for block in &self.layers {
            joint = block.forward(&joint, &context.joint_rotation, Some(&time))?;
        }
        let image = joint.f_narrow(0, 0, context.grid.tokens())?;
        context.grid.unpatchify(&self.last.forward(&image, &time, compute)?)
    }

    /// The grid of a picture whose latents are `height` × `width`.
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

    /// `x` is `[tokens, dim]`, `time` `[1, time width]`; the result is `[tokens, patch width]`.
    fn forward(&self, x: &Tensor, time: &Tensor, compute: tch::Kind) -> Result<Tensor> {
        let scale = self.modulation.forward(&time.f_silu()?)?.f_add_scalar(1.0)?;
        let none = None::<&Tensor>;
        let normed = x.f_layer_norm([self.width], none, none, 1e-6, true)?.f_to_kind(compute)?;
        self.linear.forward(&normed.f_mul(&scale)?)
    }
}

/// Fills `x` `[tokens, dim]` with `token` `[1, dim]` up to the sequence multiple.
fn pad(x: Tensor, token: &Tensor) -> Result<Tensor> {
    let missing = -x.size()[0] & (SEQUENCE_MULTIPLE - 1);
    if missing == 0 {
        return Ok(x);
    }
    Ok(Tensor::f_cat(&[&x, &token.f_expand([missing, -1], false)?], 0)?)
}
