//! Root-mean-square norms, and the residual sum before them.

use tch::{Kind, Tensor};
use zimage_cuda::{Kernels, Rows, Scale as KernelScale};

use super::Ops;
use crate::error::Result;
use crate::weights::Weights;

/// Root-mean-square norm over the last dimension, with a learnt weight.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    /// `[width]`.
    pub(crate) weight: Tensor,
    /// Added to the mean square.
    pub(crate) eps: f64,
}

impl RmsNorm {
    /// Takes `{name}.weight` of shape `[width]`.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, width: i64, eps: f64) -> Result<Self> {
        Ok(Self { weight: w.take(&format!("{name}.weight"), &[width])?, eps })
    }

    /// The same norm for inputs that are scaled by `factor`: the result is that of unscaled inputs.
    pub(crate) fn for_scaled_input(mut self, factor: f64) -> Self {
        self.eps *= factor * factor;
        self
    }
    /// The eager norm: statistics in float32, then the weight's kind, then the weight, as in diffusers
    /// and transformers, so that bfloat16 rounds where theirs does.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.f_to_kind(Kind::Float)?;
        let mean = x.f_square()?.f_mean_dim(&[-1i64][..], true, Kind::Float)?;
        let normed = x.f_mul(&mean.f_add_scalar(self.eps)?.f_rsqrt()?)?;
        Ok(normed.f_to_kind(self.weight.f_kind()?)?.f_mul(&self.weight)?)
    }
}

/// A norm, and the factor of its result from modulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale<'a> {
    /// The norm.
    pub(crate) norm: &'a RmsNorm,
    /// `[width]`.
    pub(crate) factor: Option<&'a Tensor>,
}

impl Ops {
    /// `rms(x) · weight · factor` of rows `x` `[rows, width]`, in the form that a product needs.
    pub(crate) fn norm(&self, x: &Tensor, scale: Scale<'_>, float8: bool) -> Result<Rows> {
        match self {
            Self::Fused(kernels) if Kernels::takes_rows_of(x.size()[1]) => {
                Ok(kernels.norm(x, scale.for_kernel(), float8)?)
            }
            _ => self.rows(scale.apply(x)?, float8),
        }
    }

    /// `x + rms(y) · weight · factor`, or `x + y` without a scale, and the norm of that.
    pub(crate) fn residual_norm(
        &self,
        x: &Tensor,
        y: &Tensor,
        y_scale: Option<Scale<'_>>,
        next: Scale<'_>,
        float8: bool,
    ) -> Result<(Tensor, Rows)> {
        if let Self::Fused(kernels) = self
            && Kernels::takes_rows_of(x.size()[1])
        {
            let y_scale = y_scale.map(Scale::for_kernel);
            let next = Some((next.for_kernel(), float8));
            if let (sum, Some(rows)) = kernels.residual_norm(x, y, y_scale, next)? {
                return Ok((sum, rows));
            }
        }
        let sum = self.residual(x, y, y_scale)?;
        let rows = self.norm(&sum, next, float8)?;
        Ok((sum, rows))
    }

    /// `x + rms(y) · weight · factor`, or `x + y` without a scale.
    pub(crate) fn residual(
        &self,
        x: &Tensor,
        y: &Tensor,
        y_scale: Option<Scale<'_>>,
    ) -> Result<Tensor> {
        match (self, y_scale) {
            (Self::Fused(kernels), _) if Kernels::takes_rows_of(x.size()[1]) => {
                let y_scale = y_scale.map(Scale::for_kernel);
                Ok(kernels.residual_norm(x, y, y_scale, None)?.0)
            }
            (_, Some(scale)) => Ok(x.f_add(&scale.apply(y)?)?),
            (_, None) => Ok(x.f_add(y)?),
        }
    }
}

impl<'a> Scale<'a> {
    fn for_kernel(self) -> KernelScale<'a> {
        KernelScale { weight: &self.norm.weight, factor: self.factor, eps: self.norm.eps }
    }

    /// The eager norm.
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm.forward(x)?;
        match self.factor {
            Some(factor) => Ok(normed.f_mul(factor)?),
            None => Ok(normed),
        }
    }
}
