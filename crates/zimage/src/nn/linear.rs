//! Matrix products with learnt weights.

use tch::{Kind, Tensor};
use zimage_cuda::Rows;

use super::side::{AdaptedMap, LinearMap};
use crate::error::{Error, Result};
use crate::ops::float8;
use crate::weights::streaming::Placed;
use crate::weights::{BlockMatrix, Weights};

/// Why an adapter with row norms cannot be used where weights are streamed.
const NOT_RESIDENT: &str = "a DoRA needs the norms of weights on the device, and this memory plan streams \
                            them: use a LoRA, or allow more memory";

/// `y = x·Wᵀ + b`, and what adapters add.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: BlockMatrix,
    bias: Option<Tensor>,
    adapted: AdaptedMap,
    /// Whether float8 is made of the weight for each product, as it is not always on the device.
    makes_float8: bool,
}

impl Linear {
    /// Takes `{name}.weight` of shape `[outputs, inputs]`, which may be streamed.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        let weight = w.take_matrix(&[(format!("{name}.weight"), outputs)], inputs)?;
        let adapted = AdaptedMap::new(&[(name, outputs)], inputs);
        Ok(Self { weight, bias: None, adapted, makes_float8: false })
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
        let adapted = AdaptedMap::new(&[(name, outputs)], inputs);
        let weight = BlockMatrix::Dense(Placed::Resident(weight));
        Ok(Self { weight, bias, adapted, makes_float8: false })
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
        let adapted = AdaptedMap::new(&layers, inputs);
        Ok(Self { weight, bias: None, adapted, makes_float8: false })
    }

    /// Converts the weight to float8, once it is loaded, unless the file has it as such; inputs must
    /// be float8 from then on. A streamed weight is converted for each product, to the same numbers.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn make_float8(&mut self) -> Result<()> {
        let rows = match &self.weight {
            BlockMatrix::Float8(_) => return Ok(()),
            BlockMatrix::Dense(Placed::Resident(weight)) => float8::rows_of_matrix(weight)?,
            BlockMatrix::Packed(weight) if !weight.is_streamed() => {
                float8::rows_of_matrix(&weight.expand()?)?
            }
            BlockMatrix::Dense(_) | BlockMatrix::Packed(_) => {
                self.makes_float8 = true;
                return Ok(());
            }
        };
        self.weight = BlockMatrix::Float8(Placed::Resident(rows));
        Ok(())
    }

    /// Whether inputs must be float8.
    pub(crate) fn takes_float8(&self) -> bool {
        self.makes_float8 || matches!(self.weight, BlockMatrix::Float8(_))
    }

    /// `x` is `[…, inputs]`, the result `[…, outputs]`; `[rows, inputs]` where adapters may change it.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_rows(&Rows::Dense(x.shallow_clone()))
    }

    /// The same for rows `[rows, inputs]` from an operation of `ops`.
    pub(crate) fn forward_rows(&self, rows: &Rows) -> Result<Tensor> {
        if !self.adapted.is_changed() {
            return self.product(rows, self.bias.as_ref());
        }
        let y = self.adapted.apply(rows, |sum| self.add_product(rows, sum))?;
        match &self.bias {
            Some(bias) => Ok(y.f_add(bias)?),
            None => Ok(y),
        }
    }

    fn product(&self, rows: &Rows, bias: Option<&Tensor>) -> Result<Tensor> {
        match (rows, &self.weight) {
            (Rows::Dense(x), BlockMatrix::Dense(weight)) => Ok(x.f_linear(weight.get(), bias)?),
            (Rows::Dense(x), BlockMatrix::Packed(weight)) => {
                Ok(x.f_linear(&weight.expand()?, bias)?)
            }
            (Rows::Float8(x), BlockMatrix::Float8(weight)) => float8::product(x, weight.get()),
            (Rows::Dense(_), BlockMatrix::Float8(_)) => {
                Err(Error::Internal("a float8 weight needs float8 rows".into()))
            }
            (Rows::Float8(x), BlockMatrix::Dense(weight)) if self.makes_float8 => {
                float8::product(x, &float8::rows_of_matrix(weight.get())?)
            }
            (Rows::Float8(x), BlockMatrix::Packed(weight)) if self.makes_float8 => {
                float8::product(x, &float8::rows_of_matrix(&weight.expand()?)?)
            }
            (Rows::Float8(_), _) => Err(Error::Internal("float8 rows need a float8 weight".into())),
        }
    }

    /// The product without a bias, added to `sum` if there is one.
    fn add_product(&self, rows: &Rows, sum: Option<Tensor>) -> Result<Tensor> {
        let add = |mut sum: Tensor, x: &Tensor, weight: &Tensor| {
            let _ = sum.f_addmm_(x, &weight.f_transpose(0, 1)?)?;
            Ok(sum)
        };
        match (sum, rows, &self.weight) {
            (Some(sum), Rows::Dense(x), BlockMatrix::Dense(weight)) => add(sum, x, weight.get()),
            (Some(sum), Rows::Dense(x), BlockMatrix::Packed(weight)) => {
                add(sum, x, &weight.expand()?)
            }
            (None, ..) => self.product(rows, None),
            (Some(sum), ..) => Ok(sum.f_add(&self.product(rows, None)?)?),
        }
    }
}

impl LinearMap for Linear {
    fn adapted(&self) -> &AdaptedMap {
        &self.adapted
    }

    fn numbers(&self) -> Result<Tensor> {
        match &self.weight {
            BlockMatrix::Dense(Placed::Resident(weight)) => Ok(weight.shallow_clone()),
            BlockMatrix::Packed(weight) if !weight.is_streamed() => weight.expand(),
            BlockMatrix::Float8(Placed::Resident(rows)) => {
                Ok(rows.values.f_to_kind(Kind::Float)?.f_mul(&rows.scales)?)
            }
            BlockMatrix::Dense(_) | BlockMatrix::Packed(_) | BlockMatrix::Float8(_) => {
                Err(Error::Refused(NOT_RESIDENT.to_owned()))
            }
        }
    }

    fn takes_float8(&self) -> bool {
        self.takes_float8()
    }
}
