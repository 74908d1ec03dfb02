//! The time embedding that modulates the blocks. Source: diffusers `TimestepEmbedder`.

use tch::{Device, Kind, Tensor};

use crate::checkpoint::TransformerConfig;
use crate::error::Result;
use crate::nn::{Linear, Visitor};
use crate::weights::Weights;

/// The number of sines and cosines, and the width between the two linear layers.
const FREQUENCIES: i64 = TransformerConfig::TIME_EMBEDDER.0;
const INNER: i64 = TransformerConfig::TIME_EMBEDDER.1;

/// The time embedding's network.
#[derive(Debug)]
pub(super) struct TimeEmbedder {
    first: Linear,
    second: Linear,
    scale: f64,
}

impl TimeEmbedder {
    pub(super) fn load(w: &mut Weights<'_>, width: i64, scale: f64) -> Result<Self> {
        Ok(Self {
            first: Linear::load_with_bias(w, "t_embedder.mlp.0", FREQUENCIES, INNER)?,
            second: Linear::load_with_bias(w, "t_embedder.mlp.2", INNER, width)?,
            scale,
        })
    }

    /// Visits its linear maps.
    pub(super) fn visit<'a>(&'a self, visitor: Visitor<'a, '_>) {
        visitor(&self.first, 1.0);
        visitor(&self.second, 1.0);
    }

    /// `[1, width]` in `compute`, for `t` from 0 (noise) to 1 (image). The waves are computed on
    /// the CPU: on a GPU these operations would load their kernels, in 0.03 s.
    pub(super) fn forward(&self, t: f32, compute: Kind, device: Device) -> Result<Tensor> {
        let half = FREQUENCIES / 2;
        let falling = Tensor::f_arange(half, (Kind::Float, Device::Cpu))?
            .f_mul_scalar(-(10000f64.ln()))?
            .f_div_scalar(half as f64)?
            .f_exp()?;
        let angles = falling.f_mul_scalar(f64::from(t * self.scale as f32))?.f_unsqueeze(0)?;
        let waves = Tensor::f_cat(&[angles.f_cos()?, angles.f_sin()?], -1)?.f_to_kind(compute)?;
        self.second.forward(&self.first.forward(&waves.f_to_device(device)?)?.f_silu()?)
    }
}
