//! Latents to pixels. Source: diffusers `Decoder`, `UpDecoderBlock2D`.

use tch::{Kind, Tensor};
use zimage_cuda::Kernels;

use super::layers::{Conv, GroupNorm, Middle, Resnet};
use crate::checkpoint::VaeConfig;
use crate::error::Result;
use crate::ops::{Map, Ops, to_nhwc};
use crate::weights::Weights;

/// Red, green and blue.
const COLOURS: i64 = 3;

/// The decoder.
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: Conv,
    middle: Middle,
    pub(super) up: Vec<Up>,
    pub(super) norm_out: GroupNorm,
    pub(super) conv_out: Conv,
    /// Whether the fused kernels support every map.
    can_fuse: bool,
    pub(super) ops: Ops,
}

/// One resolution; all but the last double it.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) resnets: Vec<Resnet>,
    pub(super) upsampler: Option<Conv>,
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
        let can_fuse = conv_in.placed()?.0.is_cuda()
            && conv_in.placed()?.1 == Kind::BFloat16
            && config.out_channels == COLOURS
            && widths.iter().all(|&channels| Kernels::takes_channels(channels));
        let ops = Ops::Eager;
        Ok(Self { conv_in, middle, up, norm_out, conv_out, can_fuse, ops })
    }

    /// Uses the fused kernels, if they are supported, and changes the layout of the weights for them:
    /// once, after loading.
    pub(super) fn fuse(&mut self, kernels: &Kernels) -> Result<()> {
        if !self.can_fuse || matches!(self.ops, Ops::Fused(_)) {
            return Ok(());
        }
        self.ops = Ops::Fused(kernels.clone());
        self.lay_out()
    }

    /// Changes the weights' layout to NHWC, and leaves biases pending for the next operation.
    pub(super) fn lay_out(&mut self) -> Result<()> {
        self.conv_in.fuse()?;
        self.middle.fuse()?;
        for up in &mut self.up {
            up.resnets.iter_mut().try_for_each(Resnet::fuse)?;
            up.upsampler.as_mut().map_or(Ok(()), Conv::fuse)?;
        }
        self.norm_out.fuse()?;
        self.conv_out.pad_outputs(8)?;
        self.conv_out.fuse()
    }

    /// `z` is `[1, latent channels, h, w]`; the result `[1, 3, 8h, 8w]`, of about −1 to 1.
    pub(super) fn forward(&self, z: &Tensor) -> Result<Tensor> {
        colours(&self.last_map(z)?)
    }

    /// The same as bytes `[8h, 8w, 3]`.
    pub(super) fn bytes(&self, z: &Tensor) -> Result<Tensor> {
        self.ops.to_bytes(&self.last_map(z)?)
    }

    /// The output of the last convolution. Each map is freed as soon as the next one exists.
    fn last_map(&self, z: &Tensor) -> Result<Map> {
        let ops = &self.ops;
        let mut x = self.first_map(z)?;
        for up in &self.up {
            x = up.forward(ops, x)?;
            if let Some(conv) = &up.upsampler {
                x = double(ops, x, conv)?;
            }
        }
        let normed = self.norm_out.forward_silu(ops, &x)?;
        drop(x);
        self.conv_out.forward(&normed)
    }

    /// The output of the middle, at the latents' size.
    pub(super) fn first_map(&self, z: &Tensor) -> Result<Map> {
        let ops = &self.ops;
        // The first convolution gets NHWC, and the others preserve it.
        let z = if let Ops::Fused(_) = ops { to_nhwc(z)? } else { z.shallow_clone() };
        self.middle.forward(ops, &self.conv_in.forward(&z)?)
    }
}

impl Up {
    /// The residual blocks.
    pub(super) fn forward(&self, ops: &Ops, mut x: Map) -> Result<Map> {
        for resnet in &self.resnets {
            x = resnet.forward(ops, &x)?;
        }
        Ok(x)
    }
}

/// The step to the next level.
pub(super) fn double(ops: &Ops, x: Map, conv: &Conv) -> Result<Map> {
    let doubled = ops.upsample(&x)?;
    drop(x);
    conv.forward(&doubled)
}

/// Pixels `[1, 3, h, w]` of the last convolution's output, or of some rows of it.
pub(super) fn colours(x: &Map) -> Result<Tensor> {
    let Some(bias) = x.bias() else { return x.complete() };
    let colours = x.values().f_narrow(1, 0, COLOURS)?;
    Map::new(colours, Some(bias.shallow_clone())).complete()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::Device;

    use super::*;
    use crate::checkpoint::{Checkpoint, Component};
    use crate::vae::Vae;
    use crate::weights::{Loader, Target};

    /// The decoder for the fused kernels, with NHWC and pending biases, gives the same pixels: here with
    /// libtorch's operations instead of the kernels.
    #[test]
    fn weights_laid_out_for_kernels_give_the_same_pixels() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference");
        for name in ["plain", "broad", "odd"] {
            let checkpoint = Checkpoint::open(&fixture.join(name)).unwrap();
            let target = Target { device: Device::Cpu, kind: Kind::Float };
            let mut loader = Loader::new();
            let weights = loader.weights(&checkpoint, Component::Vae, target).unwrap();
            let mut decoder = Vae::load(weights, &checkpoint.vae).unwrap().decoder;
            loader.run(&mut |_| {}).unwrap();
            assert!(!decoder.can_fuse);
            let shape = [1, checkpoint.vae.latent_channels, 6, 4];
            let z = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let before = decoder.forward(&z).unwrap();
            decoder.lay_out().unwrap();
            for z in [z.shallow_clone(), to_nhwc(&z).unwrap()] {
                let after = decoder.forward(&z).unwrap();
                assert_eq!(after.size(), before.size());
                let off = (&after - &before).abs().max() / before.abs().max();
                assert!(off.double_value(&[]) < 1e-5, "{name}: {off:?}");
            }
        }
    }
}
