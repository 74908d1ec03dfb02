//! Matrix products with learnt weights.

use tch::Tensor;
use zimage_cuda::Rows;

use crate::error::{Error, Result};
use crate::ops::float8;
use crate::weights::streaming::Placed;
use crate::weights::{BlockMatrix, Weights};

/// Why a streamed weight cannot become float8.
const STREAMED: &str = "float8 is computed from weights on the device, and this plan streams them: \
                        prepare a float8 checkpoint, or allow more memory";

/// `y = x·Wᵀ + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: BlockMatrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// Takes `{name}.weight` of shape `[outputs, inputs]`, which may be streamed.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        let weight = w.take_matrix(&[(format!("{name}.weight"), outputs)], inputs)?;
        Ok(Self { weight, bias: None })
    }

    /// Takes `{name}.weight` and `{name}.bias` of shape `[outputs]`, which are always resident:
    /// layers with a bias are small.
    pub(crate) fn load_with_bias(
        w: &mut Weights<'_>,
        name: &str,
        inputs: i64,
        outputs: i64,
    ) -> Result<Self> {
        let weight = w.take(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = Some(w.take(&format!("{name}.bias"), &[outputs])?);
        Ok(Self { weight: BlockMatrix::Dense(Placed::Resident(weight)), bias })
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
        Ok(Self { weight, bias: None })
    }

    /// Converts the weight to float8, once it is loaded, unless the file has it as such; inputs must
    /// be float8 from then on.
    ///
    /// # Errors
    /// [`Error::Device`] for a weight that is not on the device; or when libtorch fails (out of
    /// memory).
    pub(crate) fn make_float8(&mut self) -> Result<()> {
        let rows = match &self.weight {
            BlockMatrix::Float8(_) => return Ok(()),
            BlockMatrix::Dense(Placed::Resident(weight)) => float8::rows(weight)?,
            BlockMatrix::Packed(weight) if !weight.is_streamed() => {
                float8::rows(&weight.expand()?)?
            }
            BlockMatrix::Dense(_) | BlockMatrix::Packed(_) => {
                return Err(Error::Device(STREAMED.to_owned()));
            }
        };
        self.weight = BlockMatrix::Float8(Placed::Resident(rows));
        Ok(())
    }

    /// Whether inputs must be float8.
    pub(crate) fn takes_float8(&self) -> bool {
        matches!(self.weight, BlockMatrix::Float8(_))
    }

    /// `x` is `[…, inputs]`, the result `[…, outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            BlockMatrix::Dense(weight) => Ok(x.f_linear(weight.get(), self.bias.as_ref())?),
            BlockMatrix::Packed(weight) => Ok(x.f_linear(&weight.expand()?, self.bias.as_ref())?),
            BlockMatrix::Float8(_) => {
                Err(Error::Internal("a float8 weight needs float8 rows".into()))
            }
        }
    }

    /// The same for rows `[rows, inputs]` from an operation of `ops`.
    pub(crate) fn forward_rows(&self, rows: &Rows) -> Result<Tensor> {
        match (rows, &self.weight) {
            (Rows::Dense(x), _) => self.forward(x),
            (Rows::Float8(x), BlockMatrix::Float8(weight)) => float8::product(x, weight.get()),
            (Rows::Float8(_), _) => Err(Error::Internal("float8 rows need a float8 weight".into())),
        }
    }
}
