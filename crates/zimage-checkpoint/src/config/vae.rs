//! `vae/config.json`: diffusers' `AutoencoderKL`.

use serde::{Deserialize, Serialize};

use super::{Check, LAYERS, WIDTHS, parse};
use crate::error::Result;

/// The autoencoder's dimensions, under the names that the file has.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct VaeConfig {
    /// Channels of an image, 3.
    pub in_channels: i64,
    /// Channels of an image, 3.
    pub out_channels: i64,
    /// Channels of the latents.
    pub latent_channels: i64,
    /// Channels of each level, from the image's down; each level but the last halves the sides.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks of a level (the decoder has one more).
    pub layers_per_block: i64,
    /// Groups of the group norms.
    pub norm_num_groups: i64,
    /// Whether the middle has attention.
    pub mid_block_add_attention: bool,
    /// What latents were multiplied with for the transformer, after the shift.
    pub scaling_factor: f64,
    /// What was subtracted from them.
    pub shift_factor: f64,
    /// Whether the reference advises float32.
    pub force_upcast: bool,
    /// The side in pixels of the images it was trained on; diffusers' own default is 32.
    pub sample_size: i64,
}

/// The file; what is left out or null has the default of the reference's constructor.
#[derive(Default, Deserialize)]
struct File {
    in_channels: Option<i64>,
    out_channels: Option<i64>,
    latent_channels: Option<i64>,
    block_out_channels: Option<Vec<i64>>,
    layers_per_block: Option<i64>,
    norm_num_groups: Option<i64>,
    mid_block_add_attention: Option<bool>,
    scaling_factor: Option<f64>,
    shift_factor: Option<f64>,
    force_upcast: Option<bool>,
    sample_size: Option<i64>,
    act_fn: Option<String>,
    use_quant_conv: Option<bool>,
    use_post_quant_conv: Option<bool>,
    down_block_types: Option<Vec<String>>,
    up_block_types: Option<Vec<String>>,
    latents_mean: Option<Vec<f64>>,
    latents_std: Option<Vec<f64>>,
}

impl VaeConfig {
    /// Defaults: diffusers `AutoencoderKL.__init__`, 0.42.
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let check = Check { file };
        let file: File = parse(file, bytes)?;
        // The reference has no shift then, and its Z-Image pipelines fail.
        let Some(shift_factor) = file.shift_factor else {
            return Err(check.error("shift_factor is null, but must be a number".to_owned()));
        };
        let config = Self {
            in_channels: file.in_channels.unwrap_or(3),
            out_channels: file.out_channels.unwrap_or(3),
            latent_channels: file.latent_channels.unwrap_or(4),
            block_out_channels: file.block_out_channels.unwrap_or_else(|| vec![64]),
            layers_per_block: file.layers_per_block.unwrap_or(1),
            norm_num_groups: file.norm_num_groups.unwrap_or(32),
            mid_block_add_attention: file.mid_block_add_attention.unwrap_or(true),
            scaling_factor: file.scaling_factor.unwrap_or(0.18215),
            shift_factor,
            force_upcast: file.force_upcast.unwrap_or(true),
            sample_size: file.sample_size.unwrap_or(32),
        };
        config.check(&check)?;
        let levels = config.block_out_channels.len();
        let named = |name: &str, count| vec![name.to_owned(); count];
        let down = file.down_block_types.unwrap_or_else(|| named("DownEncoderBlock2D", 1));
        let up = file.up_block_types.unwrap_or_else(|| named("UpDecoderBlock2D", 1));
        check.only("act_fn", &file.act_fn.as_deref().unwrap_or("silu"), &"silu")?;
        check.only("use_quant_conv", &file.use_quant_conv.unwrap_or(true), &false)?;
        check.only("use_post_quant_conv", &file.use_post_quant_conv.unwrap_or(true), &false)?;
        check.only("down_block_types", &down, &named("DownEncoderBlock2D", levels))?;
        check.only("up_block_types", &up, &named("UpDecoderBlock2D", levels))?;
        check.only("latents_mean", &file.latents_mean, &None)?;
        check.only("latents_std", &file.latents_std, &None)?;
        Ok(config)
    }

    /// How many pixels a side one latent stands for.
    pub fn scale(&self) -> i64 {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Itself, if its values are possible and supported; `file` is what messages call its origin.
    pub(crate) fn checked(self, file: &str) -> Result<Self> {
        self.check(&Check { file })?;
        Ok(self)
    }

    fn check(&self, check: &Check<'_>) -> Result<()> {
        check.only("in_channels", &self.in_channels, &3)?;
        check.only("out_channels", &self.out_channels, &3)?;
        check.within("latent_channels", self.latent_channels, &WIDTHS)?;
        let levels = self.block_out_channels.len();
        check.that((1..=8).contains(&levels), || {
            format!("block_out_channels has {levels} entries, but must have 1 to 8")
        })?;
        check.within("norm_num_groups", self.norm_num_groups, &WIDTHS)?;
        for &channels in &self.block_out_channels {
            check.within("block_out_channels", channels, &WIDTHS)?;
            let whole = ("an entry of block_out_channels", channels);
            check.divides(("norm_num_groups", self.norm_num_groups), whole)?;
        }
        check.within("layers_per_block", self.layers_per_block, &LAYERS)?;
        check.within("sample_size", self.sample_size, &WIDTHS)?;
        check.positive("scaling_factor", self.scaling_factor)?;
        check.that(self.shift_factor.is_finite(), || "shift_factor is not finite".to_owned())
    }
}
