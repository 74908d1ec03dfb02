//! Pixels to latents. Source: diffusers `Encoder`, `DownEncoderBlock2D`.

use tch::Tensor;

use super::layers::{Conv, GroupNorm, Middle, Resnet};
use crate::checkpoint::VaeConfig;
use crate::error::Result;
use crate::ops::{Map, Ops};
use crate::weights::Weights;

/// The encoder.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: Conv,
    down: Vec<Down>,
    middle: Middle,
    norm_out: GroupNorm,
    conv_out: Conv,
}

/// One resolution; all but the last halve it.
#[derive(Debug)]
struct Down {
    resnets: Vec<Resnet>,
    downsampler: Option<Conv>,
}

impl Encoder {
    pub(super) fn load(w: &mut Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let widths = &config.block_out_channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let conv_in = Conv::load(w, "encoder.conv_in", config.in_channels, first, 3)?;
        let mut down = Vec::with_capacity(widths.len());
        let mut inputs = first;
        for (i, &outputs) in widths.iter().enumerate() {
            let name = format!("encoder.down_blocks.{i}");
            let resnets = (0..config.layers_per_block)
                .map(|j| {
                    let inputs = if j == 0 { inputs } else { outputs };
                    Resnet::load(w, &format!("{name}.resnets.{j}"), inputs, outputs, config)
                })
                .collect::<Result<_>>()?;
            let downsampler = (i + 1 < widths.len())
                .then(|| Conv::load(w, &format!("{name}.downsamplers.0.conv"), outputs, outputs, 3))
                .transpose()?
                .map(Conv::halving);
            down.push(Down { resnets, downsampler });
            inputs = outputs;
        }
        let middle = Middle::load(w, "encoder.mid_block", last, config)?;
        let norm_out = GroupNorm::load(w, "encoder.conv_norm_out", last, config)?;
        let conv_out = Conv::load(w, "encoder.conv_out", last, 2 * config.latent_channels, 3)?;
        Ok(Self { conv_in, down, middle, norm_out, conv_out })
    }

    /// `x` is `[1, 3, 8h, 8w]`; the result `[1, 2 · latent channels, h, w]`: mean, log variance.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        for down in &self.down {
            x = down.forward(x)?;
        }
        let x = self.middle.forward(&Ops::Eager, &x)?;
        self.conv_out.forward(&self.norm_out.forward_silu(&Ops::Eager, &x)?)?.complete()
    }
}

impl Down {
    fn forward(&self, mut x: Map) -> Result<Map> {
        for resnet in &self.resnets {
            x = resnet.forward(&Ops::Eager, &x)?;
        }
        let Some(conv) = &self.downsampler else { return Ok(x) };
        // One row below and one column to the right, as the reference pads.
        conv.forward(&x.complete()?.f_constant_pad_nd([0, 1, 0, 1])?)
    }
}
