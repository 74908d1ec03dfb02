//! Matrix products with weights that stay in their file, as they are used seldom.

use std::cell::RefCell;

use tch::{Device, Tensor};
use zimage_cuda::Rows;

use super::side::{AdaptedMap, LinearMap};
use crate::error::Result;
use crate::weights::{FileRows, Weights};

/// `y = x·Wᵀ + b` with `W` read from its file each time, unless it is held.
#[derive(Debug)]
pub(crate) struct FileLinear {
    weight: FileRows,
    bias: Tensor,
    device: Device,
    held: RefCell<Option<Tensor>>,
    adapted: AdaptedMap,
}

impl FileLinear {
    /// Takes `{name}.weight` of shape `[outputs, inputs]` and `{name}.bias` of shape `[outputs]`.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(Self {
            weight: w.take_rows(&format!("{name}.weight"), [outputs, inputs])?,
            bias: w.take(&format!("{name}.bias"), &[outputs])?,
            device: w.device(),
            held: RefCell::default(),
            adapted: AdaptedMap::new(&[(name, outputs)], inputs),
        })
    }

    /// Reads the weight, to be used several times; or lets it go.
    ///
    /// # Errors
    /// When the file cannot be read, or the device's memory is too small.
    pub(crate) fn hold(&self, held: bool) -> Result<()> {
        self.held.replace(held.then(|| self.read()).transpose()?);
        Ok(())
    }

    /// `x` is `[rows, inputs]`, the result `[rows, outputs]`.
    ///
    /// # Errors
    /// As [`FileLinear::hold`].
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.numbers()?;
        if !self.adapted.is_changed() {
            return Ok(x.f_linear(&weight, Some(&self.bias))?);
        }
        let y = self.adapted.apply(&Rows::Dense(x.shallow_clone()), |sum| {
            let product = x.f_linear(&weight, None::<&Tensor>)?;
            Ok(match sum {
                Some(sum) => sum.f_add(&product)?,
                None => product,
            })
        })?;
        Ok(y.f_add(&self.bias)?)
    }

    fn read(&self) -> Result<Tensor> {
        Ok(self.weight.all()?.f_to_device(self.device)?)
    }
}

impl LinearMap for FileLinear {
    fn adapted(&self) -> &AdaptedMap {
        &self.adapted
    }

    fn numbers(&self) -> Result<Tensor> {
        match &*self.held.borrow() {
            Some(weight) => Ok(weight.shallow_clone()),
            None => self.read(),
        }
    }

    fn takes_float8(&self) -> bool {
        false
    }
}
