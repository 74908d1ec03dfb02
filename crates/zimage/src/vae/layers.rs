//! What encoder and decoder are made of.
//!
//! Source: diffusers `ResnetBlock2D`, `UNetMidBlock2D`, `AttnProcessor2_0`.

use tch::Tensor;

use crate::checkpoint::{VaeConfig, Weights};
use crate::error::Result;
use crate::nn::{Linear, attention};

/// The epsilon of every norm in the autoencoder.
const EPS: f64 = 1e-6;

/// A two-dimensional convolution.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// Takes `{name}.weight` `[outputs, inputs, size, size]` and `{name}.bias`; keeps the size.
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        inputs: i64,
        outputs: i64,
        size: i64,
    ) -> Result<Self> {
        Ok(Self {
            weight: w.take(&format!("{name}.weight"), &[outputs, inputs, size, size])?,
            bias: w.take(&format!("{name}.bias"), &[outputs])?,
            stride: 1,
            padding: size / 2,
        })
    }

    /// The same with stride 2 and no padding.
    pub(super) fn halving(mut self) -> Self {
        (self.stride, self.padding) = (2, 0);
        self
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        Ok(x.f_conv2d(&self.weight, Some(&self.bias), stride, padding, [1, 1], 1)?)
    }
}

/// Norm over groups of channels.
#[derive(Debug)]
pub(super) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        channels: i64,
        config: &VaeConfig,
    ) -> Result<Self> {
        Ok(Self {
            weight: w.take(&format!("{name}.weight"), &[channels])?,
            bias: w.take(&format!("{name}.bias"), &[channels])?,
            groups: config.norm_num_groups,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), EPS, true)?)
    }
}

/// Two convolutions beside a shortcut.
#[derive(Debug)]
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv,
    norm2: GroupNorm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

impl Resnet {
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        inputs: i64,
        outputs: i64,
        config: &VaeConfig,
    ) -> Result<Self> {
        let shortcut = (inputs != outputs)
            .then(|| Conv::load(w, &format!("{name}.conv_shortcut"), inputs, outputs, 1))
            .transpose()?;
        Ok(Self {
            norm1: GroupNorm::load(w, &format!("{name}.norm1"), inputs, config)?,
            conv1: Conv::load(w, &format!("{name}.conv1"), inputs, outputs, 3)?,
            norm2: GroupNorm::load(w, &format!("{name}.norm2"), outputs, config)?,
            conv2: Conv::load(w, &format!("{name}.conv2"), outputs, outputs, 3)?,
            shortcut,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = self.conv1.forward(&self.norm1.forward(x)?.f_silu()?)?;
        let h = self.conv2.forward(&self.norm2.forward(&h)?.f_silu()?)?;
        match &self.shortcut {
            Some(shortcut) => Ok(shortcut.forward(x)?.f_add(&h)?),
            None => Ok(x.f_add(&h)?),
        }
    }
}

/// The middle: two residual blocks around single-head attention over all places.
#[derive(Debug)]
pub(super) struct Middle {
    first: Resnet,
    attention: Option<Attention>,
    second: Resnet,
}

impl Middle {
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        channels: i64,
        config: &VaeConfig,
    ) -> Result<Self> {
        let resnet = |w: &mut Weights<'_>, i| {
            Resnet::load(w, &format!("{name}.resnets.{i}"), channels, channels, config)
        };
        Ok(Self {
            first: resnet(w, 0)?,
            attention: config
                .mid_block_add_attention
                .then(|| Attention::load(w, &format!("{name}.attentions.0"), channels, config))
                .transpose()?,
            second: resnet(w, 1)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.first.forward(x)?;
        if let Some(attention) = &self.attention {
            x = attention.forward(&x)?;
        }
        self.second.forward(&x)
    }
}

#[derive(Debug)]
struct Attention {
    norm: GroupNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl Attention {
    fn load(w: &mut Weights<'_>, name: &str, channels: i64, config: &VaeConfig) -> Result<Self> {
        let linear = |w: &mut Weights<'_>, part: &str| {
            Linear::load_with_bias(w, &format!("{name}.{part}"), channels, channels)
        };
        Ok(Self {
            norm: GroupNorm::load(w, &format!("{name}.group_norm"), channels, config)?,
            q: linear(w, "to_q")?,
            k: linear(w, "to_k")?,
            v: linear(w, "to_v")?,
            out: linear(w, "to_out.0")?,
        })
    }

    /// `x` is `[1, channels, h, w]`, so is the result.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let places = self.norm.forward(x)?.f_flatten(2, 3)?.f_transpose(1, 2)?;
        let (q, k) = (self.q.forward(&places)?, self.k.forward(&places)?);
        let out = attention(&q, &k, &self.v.forward(&places)?, false)?;
        let out = self.out.forward(&out)?.f_transpose(1, 2)?.f_reshape_as(x)?;
        Ok(out.f_add(x)?)
    }
}
