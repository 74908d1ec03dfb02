//! Check of a value against the type and the range of its parameter.

use crate::error::ParamsError;
use crate::parameter::{Parameter, Range};
use crate::table::Params;
use crate::value::Value;

impl Parameter {
    /// Whether the value is of the parameter's type and in its range; text has no control
    /// characters but tab and line feed.
    ///
    /// # Errors
    ///
    /// [`ParamsError::WrongKind`], [`ParamsError::OutOfRange`] or [`ParamsError::Control`].
    pub fn check(&'static self, value: &Value) -> Result<(), ParamsError> {
        self.check_in(self.range, value)
    }

    /// The same with a model's own range, which is within the parameter's.
    ///
    /// # Errors
    ///
    /// As [`Parameter::check`].
    pub fn check_in(&'static self, expected: Range, value: &Value) -> Result<(), ParamsError> {
        if value.kind() != self.kind() {
            return Err(ParamsError::WrongKind { parameter: self, found: value.kind() });
        }
        if !expected.contains(value) {
            return Err(ParamsError::out_of_range(self, expected, value));
        }
        if let Value::Text(text) = value
            && let Some(found) = zimg_text::control(text)
        {
            return Err(ParamsError::Control { parameter: self, found });
        }
        Ok(())
    }
}

impl Params {
    /// Whether parameters of the initial image are given with one alone.
    ///
    /// # Errors
    ///
    /// [`ParamsError::NoInitialImage`].
    pub fn check_without_images(&self) -> Result<(), ParamsError> {
        let strength = Parameter::named("strength").zip(self.get("strength"));
        match strength {
            Some((parameter, found)) => Err(ParamsError::NoInitialImage { parameter, found }),
            None => Ok(()),
        }
    }
}

/// Whether `images` seeds from `seed` on are all below 2^64: the seed of an image is never another
/// image's by wrapping.
///
/// # Errors
///
/// [`ParamsError::SeedOverflow`].
pub fn check_seeds(seed: u64, images: u64) -> Result<(), ParamsError> {
    match seed.checked_add(images.saturating_sub(1)) {
        Some(_) => Ok(()),
        None => Err(ParamsError::SeedOverflow { seed, images }),
    }
}
