//! Units of other programs: conversion between an alias's values and the parameter's.
//!
//! CFG scale C of other programs is `negative + C · (positive − negative)`: AUTOMATIC1111's web UI,
//! ComfyUI, stable-diffusion.cpp, and diffusers' pipelines of Stable Diffusion. Guidance G of
//! diffusers' Z-Image pipelines, which zimg follows, is `positive + G · (positive − negative)`
//! (`pred = pos + current_guidance_scale * (pos - neg)` in its `pipeline_z_image.py`). So
//! G = C − 1. CFG scale 1 is guidance 0, which is off. CFG scale below 1 turns towards the negative
//! prompt, and 0 generates the negative prompt alone: no guidance means that.

use crate::error::ParamsError;
use crate::parameter::{Alias, Conversion, Parameter, Range};
use crate::value::Value;

impl Conversion {
    /// The parameter's value from the alias's. Ranges are not checked.
    pub fn to_parameter(self, value: Value) -> Value {
        match (self, value) {
            (Self::CfgScale, Value::Integer(cfg)) => Value::Real(guidance_of_cfg(cfg as f32)),
            (Self::CfgScale, Value::Real(cfg)) => Value::Real(guidance_of_cfg(cfg)),
            (_, value) => value,
        }
    }

    /// The alias's value from the parameter's.
    pub fn of_parameter(self, value: Value) -> Value {
        match (self, value) {
            (Self::CfgScale, Value::Real(guidance)) => Value::Real(cfg_of_guidance(guidance)),
            (_, value) => value,
        }
    }

    /// The alias's range from the parameter's.
    pub fn range(self, parameter: Range) -> Range {
        match (self, parameter) {
            (Self::CfgScale, Range::Real { min, max }) => {
                Range::Real { min: cfg_of_guidance(min), max: cfg_of_guidance(max) }
            }
            (_, range) => range,
        }
    }
}

impl Alias {
    /// The value of `parameter`, of which this is an alias, from a value under this name.
    ///
    /// # Errors
    ///
    /// [`ParamsError::AliasOutOfRange`] if no value of the parameter corresponds to it.
    pub fn to_parameter(
        self,
        parameter: &'static Parameter,
        value: Value,
    ) -> Result<Value, ParamsError> {
        let number = match value {
            // A number without a fraction may be written without one.
            Value::Integer(number) if self.conversion == Conversion::CfgScale => {
                Value::Real(number as f32)
            }
            value => value,
        };
        let expected = self.conversion.range(parameter.range);
        if self.conversion != Conversion::Same
            && number.kind() == parameter.kind()
            && !expected.contains(&number)
        {
            return Err(ParamsError::AliasOutOfRange { alias: self, found: number, expected });
        }
        Ok(self.conversion.to_parameter(number))
    }
}

/// Guidance from the CFG scale of other programs; negative below a CFG scale of 1.
pub fn guidance_of_cfg(cfg: f32) -> f32 {
    (decimal(cfg) - 1.0) as f32
}

/// The CFG scale of other programs from guidance.
pub fn cfg_of_guidance(guidance: f32) -> f32 {
    (decimal(guidance) + 1.0) as f32
}

/// The number that people wrote: 1.1 as f32 is 1.10000002, and 1.1 − 1 has to be 0.1.
pub fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Params;

    #[test]
    fn cfg_scale_is_one_more_than_guidance() {
        for (cfg, guidance) in
            [(1.0, 0.0), (1.1, 0.1), (1.5, 0.5), (3.3, 2.3), (5.0, 4.0), (7.5, 6.5), (101.0, 100.0)]
        {
            assert_eq!(guidance_of_cfg(cfg), guidance);
            assert_eq!(cfg_of_guidance(guidance), cfg);
        }
        for hundredths in 100..=10_100_u16 {
            let cfg = f32::from(hundredths) / 100.0;
            assert_eq!(cfg_of_guidance(guidance_of_cfg(cfg)), cfg);
        }
    }

    #[test]
    fn the_aliases_convert_and_diffusers_own_name_does_not() {
        for (name, given, guidance) in [
            ("cfg", Value::Real(7.0), 6.0),
            ("cfg_scale", Value::Integer(1), 0.0),
            ("guidance_scale", Value::Real(4.0), 4.0),
            ("guidance", Value::Real(4.0), 4.0),
        ] {
            let (row, alias) = Parameter::named_or_alias(name).unwrap();
            let value = alias.to_parameter(row, given).unwrap();
            assert_eq!((row.name, value), ("guidance", Value::Real(guidance)), "{name}");
        }
    }

    #[test]
    fn a_cfg_scale_that_is_no_guidance_is_refused() {
        let (row, alias) = Parameter::named_or_alias("cfg_scale").unwrap();
        for bad in [0.0, 0.5, -1.0, 101.5, f32::NAN, f32::INFINITY] {
            let error = alias.to_parameter(row, Value::Real(bad)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`cfg_scale` is {bad}, expected a number from 1 to 101")
            );
            assert_eq!(
                error.hint().as_deref(),
                Some("cfg_scale 1 is guidance 0, which is off: guidance is cfg_scale - 1")
            );
        }
        // Another type is refused where the parameter is set.
        let text = alias.to_parameter(row, Value::Text("7".to_owned())).unwrap();
        assert!(Params::default().set("guidance", text).is_err());
    }
}
