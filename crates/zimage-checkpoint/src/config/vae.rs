//! `vae/config.json`: diffusers' `AutoencoderKL`.

use serde::Deserialize;

use super::{Check, LAYERS, WIDTHS, parse};
use crate::error::Result;

/// The autoencoder's dimensions, under the names that the file has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    act_fn: String,
    use_quant_conv: bool,
    use_post_quant_conv: bool,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    latents_mean: Option<Vec<f64>>,
    latents_std: Option<Vec<f64>>,
}

impl VaeConfig {
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let config: Self = parse(file, bytes)?;
        config.check(&Check { file })?;
        Ok(config)
    }

    /// How many pixels a side one latent stands for.
    pub fn scale(&self) -> i64 {
        1 << (self.block_out_channels.len() - 1)
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
        check.that(self.shift_factor.is_finite(), || "shift_factor is not finite".to_owned())?;
        check.only("act_fn", &self.act_fn.as_str(), &"silu")?;
        check.only("use_quant_conv", &self.use_quant_conv, &false)?;
        check.only("use_post_quant_conv", &self.use_post_quant_conv, &false)?;
        let blocks = |name: &str| vec![name.to_owned(); levels];
        check.only("down_block_types", &self.down_block_types, &blocks("DownEncoderBlock2D"))?;
        check.only("up_block_types", &self.up_block_types, &blocks("UpDecoderBlock2D"))?;
        check.only("latents_mean", &self.latents_mean, &None)?;
        check.only("latents_std", &self.latents_std, &None)
    }
}
