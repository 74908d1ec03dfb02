//! Latents to pixels. Source: diffusers `Decoder`, `UpDecoderBlock2D`.

use tch::Tensor;

use super::layers::{Conv, GroupNorm, Middle, Resnet};
use crate::checkpoint::{VaeConfig, Weights};
use crate::error::Result;

/// The decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: Conv,
    middle: Middle,
    up: Vec<Up>,
    norm_out: GroupNorm,
    conv_out: Conv,
}

/// One resolution; all but the last double it.
#[derive(Debug)]
struct Up {
    resnets: Vec<Resnet>,
    upsampler: Option<Conv>,
}

impl Decoder {
    pub(super) fn load(w: &mut Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let widths: Vec<i64> = config.block_out_channels.iter().rev().copied().collect();
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let conv_in = Conv::load(w, "decoder.conv_in", config.latent_channels, first, 3)?;
        let middle = Middle::load(w, "decoder.mid_block", first, config)?;
        let mut up = Vec::with_capacity(widths.len());
        let mut inputs = first;
        for (i, &outputs) in widths.iter().enumerate() {
            let name = format!("decoder.up_blocks.{i}");
            let resnets = (0..=config.layers_per_block)
                .map(|j| {
                    let inputs = if j == 0 { inputs } else { outputs };
                    Resnet::load(w, &format!("{name}.resnets.{j}"), inputs, outputs, config)
                })
                .collect::<Result<_>>()?;
            let upsampler = (i + 1 < widths.len())
                .then(|| Conv::load(w, &format!("{name}.upsamplers.0.conv"), outputs, outputs, 3))
                .transpose()?;
            up.push(Up { resnets, upsampler });
            inputs = outputs;
        }
        let norm_out = GroupNorm::load(w, "decoder.conv_norm_out", last, config)?;
        let conv_out = Conv::load(w, "decoder.conv_out", last, config.out_channels, 3)?;
        Ok(Self { conv_in, middle, up, norm_out, conv_out })
    }

    /// `z` is `[1, latent channels, h, w]`; the result `[1, 3, 8h, 8w]`.
    pub(super) fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let mut x = self.middle.forward(&self.conv_in.forward(z)?)?;
        for up in &self.up {
            x = up.forward(x)?;
        }
        self.conv_out.forward(&self.norm_out.forward(&x)?.f_silu()?)
    }
}

impl Up {
    fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for resnet in &self.resnets {
            x = resnet.forward(&x)?;
        }
        let Some(conv) = &self.upsampler else { return Ok(x) };
        let (_, _, h, w) = x.size4()?;
        conv.forward(&x.f_upsample_nearest2d([2 * h, 2 * w], None, None)?)
    }
}
