//! The distribution of an image's latents. Source: diffusers `DiagonalGaussianDistribution`.

use tch::{Kind, Tensor};

use crate::error::Result;

/// A normal distribution of each latent, in float32: both `[1, channels, h, w]`.
#[derive(Debug)]
pub(crate) struct Posterior {
    pub(crate) mean: Tensor,
    deviation: Tensor,
    scaling: f64,
    shift: f64,
}

impl Posterior {
    /// From the encoder's output, means and logarithms of variances `[1, 2 · channels, h, w]`, and what
    /// latents are scaled and shifted by.
    pub(super) fn new(moments: &Tensor, (scaling, shift): (f64, f64)) -> Result<Self> {
        let moments = moments.f_to_kind(Kind::Float)?;
        let channels = moments.size()[1] / 2;
        let variance = moments.f_narrow(1, channels, channels)?.f_clamp(-30.0, 20.0)?;
        Ok(Self {
            mean: moments.f_narrow(1, 0, channels)?.f_contiguous()?,
            deviation: variance.f_mul_scalar(0.5)?.f_exp()?,
            scaling,
            shift,
        })
    }

    /// Latents as the transformer has them, from normal numbers.
    pub(crate) fn sample(&self, normal: &Tensor) -> Result<Tensor> {
        self.scaled(&self.mean.f_add(&self.deviation.f_mul(normal)?)?)
    }

    /// The most likely latents, as the transformer has them.
    pub(crate) fn mode(&self) -> Result<Tensor> {
        self.scaled(&self.mean)
    }

    /// Latents in the transformer's scale.
    pub(super) fn scaled(&self, latents: &Tensor) -> Result<Tensor> {
        Ok(latents.f_sub_scalar(self.shift)?.f_mul_scalar(self.scaling)?)
    }
}
