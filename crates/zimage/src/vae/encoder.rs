//! Pixels to latents. Source: diffusers `Encoder`, `DownEncoderBlock2D`.

use std::ops::Range;

use tch::Tensor;

use super::cut::Cut;
use super::layers::{Conv, GroupNorm, Middle, Resnet};
use crate::checkpoint::VaeConfig;
use crate::error::{Error, Result};
use crate::ops::{Map, MapShape, Ops, empty_image, image_rows};
use crate::weights::Weights;

/// The encoder.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: Conv,
    pub(super) down: Vec<Down>,
    middle: Middle,
    norm_out: GroupNorm,
    conv_out: Conv,
}

/// One resolution; all but the last halve it.
#[derive(Debug)]
pub(super) struct Down {
    pub(super) resnets: Vec<Resnet>,
    pub(super) downsampler: Option<Conv>,
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
        self.forward_levels(x, |level, mut x| {
            for resnet in &level.resnets {
                x = resnet.forward(&Ops::Eager, &x)?;
            }
            Ok(x)
        })
    }

    /// The same, to the bit, in a fraction of the memory.
    pub(super) fn forward_in_strips(&self, x: &Tensor, cut: Cut) -> Result<Tensor> {
        self.forward_levels(x, |level, x| level.resnets_in_strips(&Ops::Eager, x, cut))
    }

    fn forward_levels(
        &self,
        x: &Tensor,
        resnets: impl Fn(&Down, Map) -> Result<Map>,
    ) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        for level in &self.down {
            x = resnets(level, x)?;
            if let Some(conv) = &level.downsampler {
                x = halved(conv, &x)?;
            }
        }
        let x = self.middle.forward(&Ops::Eager, &x)?;
        self.conv_out.forward(&self.norm_out.forward_silu(&Ops::Eager, &x)?)?.complete()
    }
}

/// The step to the next level: with one row below and one column to the right, as the reference pads.
/// Rows of a large map are halved some at a time, whole and in strips alike, so that it is not copied.
pub(super) fn halved(conv: &Conv, x: &Map) -> Result<Map> {
    let shape @ MapShape { h, w, .. } = x.shape()?;
    let padded = |rows: &Range<i64>, below| -> Result<Tensor> {
        Ok(x.rows(rows)?.complete()?.f_constant_pad_nd([0, 1, 0, below])?)
    };
    let Some(height) = Cut::convolved_rows(shape) else {
        return conv.forward(&padded(&(0..h), 1)?);
    };
    let of_halves = MapShape { channels: conv.outputs(), h: h / 2, w: w / 2 };
    let mut all = None;
    for start in (0..of_halves.h).step_by((height / 2).max(1) as usize) {
        let end = (start + (height / 2).max(1)).min(of_halves.h);
        let rows = 2 * start..(2 * end + 1).min(h);
        let below = 2 * end + 1 - rows.end;
        let part = conv.forward(&padded(&rows, below)?)?.complete()?;
        let all = match &mut all {
            Some(all) => all,
            none => none.insert(empty_image(&part, of_halves.h)?),
        };
        image_rows(all, &(start..end))?.f_copy_(&part)?;
    }
    let all = all.ok_or_else(|| Error::Internal("a map has no rows".to_owned()))?;
    Ok(Map::new(all, None))
}
