//! Matrix products with learnt weights.

use tch::Tensor;
use zimage_cuda::{Float8Rows, Rows};

use crate::error::{Error, Result};
use crate::ops::float8;
use crate::weights::Weights;
use crate::weights::streaming::Matrix;

/// `y = x·Wᵀ + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

#[derive(Debug)]
enum Weight {
    /// `[outputs, inputs]`.
    Dense(Matrix),
    /// The same as float8, one scale an output.
    Float8(Float8Rows),
}

impl Linear {
    /// Takes `{name}.weight` of shape `[outputs, inputs]`, which may be streamed.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        let weight = w.take_matrix(&[(format!("{name}.weight"), outputs)], inputs)?;
        Ok(Self { weight: Weight::Dense(weight), bias: None })
    }

    /// Takes `{name}.weight` and `{name}.bias` of shape `[outputs]`, which are always resident:
    /// layers with a bias are small.
    pub(crate) fn load_with_bias(
        w: &mut Weights<'_>,
        name: &str,
        inputs: i64,
        outputs: i64,
    ) -> Result<Self> {
        let weight = Matrix::Resident(w.take(&format!("{name}.weight"), &[outputs, inputs])?);
        let bias = Some(w.take(&format!("{name}.bias"), &[outputs])?);
        Ok(Self { weight: Weight::Dense(weight), bias })
    }

    /// Takes layers of the same input, with their names and numbers of outputs, as one with concatenated
    /// outputs.
    pub(crate) fn load_joined(
        w: &mut Weights<'_>,
        layers: &[(String, i64)],
        inputs: i64,
    ) -> Result<Self> {
        let layers: Vec<(String, i64)> =
            layers.iter().map(|(name, outputs)| (format!("{name}.weight"), *outputs)).collect();
        let weight = w.take_matrix(&layers, inputs)?;
        Ok(Self { weight: Weight::Dense(weight), bias: None })
    }

    /// Converts the weight to float8, once it is loaded; inputs must be float8 from then on.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn make_float8(&mut self) -> Result<()> {
        if let Weight::Dense(weight) = &self.weight {
            self.weight = Weight::Float8(float8::rows(weight.tensor())?);
        }
        Ok(())
    }

    /// Whether inputs must be float8.
    pub(crate) fn takes_float8(&self) -> bool {
        matches!(self.weight, Weight::Float8(_))
    }

    /// `x` is `[…, inputs]`, the result `[…, outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Weight::Dense(weight) => Ok(x.f_linear(weight.tensor(), self.bias.as_ref())?),
            Weight::Float8(_) => Err(Error::Internal("a float8 weight needs float8 rows".into())),
        }
    }

    /// The same for rows `[rows, inputs]` from an operation of `ops`.
    pub(crate) fn forward_rows(&self, rows: &Rows) -> Result<Tensor> {
        match (rows, &self.weight) {
            (Rows::Dense(x), _) => self.forward(x),
            (Rows::Float8(x), Weight::Float8(weight)) => float8::product(x, weight),
            (Rows::Float8(_), Weight::Dense(_)) => {
                Err(Error::Internal("float8 rows need a float8 weight".into()))
            }
        }
    }
}
