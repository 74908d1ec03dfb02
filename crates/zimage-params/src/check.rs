//! Check of a value against the type and the range of its parameter.

use crate::error::ParamsError;
use crate::parameter::{Parameter, Range};
use crate::value::Value;

impl Parameter {
    /// Whether the value is of the parameter's type and in its range.
    ///
    /// # Errors
    ///
    /// [`ParamsError::WrongKind`] or [`ParamsError::OutOfRange`].
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
        Ok(())
    }
}
