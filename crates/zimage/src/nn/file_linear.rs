//! Matrix products with weights that stay in their file, as they are used seldom.

use std::cell::RefCell;

use tch::{Device, Tensor};

use crate::error::Result;
use crate::weights::{FileRows, Weights};

/// `y = x·Wᵀ + b` with `W` read from its file each time, unless it is held.
#[derive(Debug)]
pub(crate) struct FileLinear {
    weight: FileRows,
    bias: Tensor,
    device: Device,
    held: RefCell<Option<Tensor>>,
}

impl FileLinear {
    /// Takes `{name}.weight` of shape `[outputs, inputs]` and `{name}.bias` of shape `[outputs]`.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(Self {
            weight: w.take_rows(&format!("{name}.weight"), [outputs, inputs])?,
            bias: w.take(&format!("{name}.bias"), &[outputs])?,
            device: w.device(),
            held: RefCell::default(),
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

    /// `x` is `[…, inputs]`, the result `[…, outputs]`.
    ///
    /// # Errors
    /// As [`FileLinear::hold`].
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &*self.held.borrow() {
            Some(weight) => Ok(x.f_linear(weight, Some(&self.bias))?),
            None => Ok(x.f_linear(&self.read()?, Some(&self.bias))?),
        }
    }

    fn read(&self) -> Result<Tensor> {
        Ok(self.weight.all()?.f_to_device(self.device)?)
    }
}
