//! Resolved parameters: those of a request within the model's limits, with its defaults filled in.

pub use zimage_params::Params;
use zimage_params::{Parameter, ParamsError, Range, Value};

use crate::error::Result;

/// A model's defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Width and height in pixels.
    pub size: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Guidance.
    pub guidance: f32,
}

/// A model's limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Sides are multiples of this many pixels.
    pub multiple: u32,
    /// The shortest side in pixels.
    pub side_min: u32,
    /// The longest side in pixels.
    pub side_max: u32,
    /// The most tokens of a prompt, template included.
    pub tokens_max: usize,
}

impl Limits {
    fn sides(&self, params: &Params) -> std::result::Result<(u32, u32), ParamsError> {
        let range = Range::sides(self.side_min, self.side_max, self.multiple);
        let side = |name, pixels: Option<u32>| {
            let pixels = pixels.unwrap_or_default();
            if let Some(parameter) = Parameter::named(name) {
                parameter.check_in(range, &Value::Integer(pixels.into()))?;
            }
            Ok(pixels)
        };
        Ok((side("width", params.width)?, side("height", params.height)?))
    }
}

/// Parameters within the model's limits, with its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedParams {
    /// The prompt.
    pub prompt: String,
    /// The negative prompt; `None` when guidance is off.
    pub negative: Option<String>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Guidance; 0 is off.
    pub guidance: f32,
    /// At most this many times the norm of the positive prediction; 0 is off.
    pub guidance_normalization: f32,
    /// Share of the guided prediction that is rescaled to the deviation of the positive one; 0 is
    /// off.
    pub guidance_rescale: f32,
    /// Guidance is off once the time exceeds this.
    pub guidance_truncation: f32,
}

impl ResolvedParams {
    /// Checks parameters against their ranges and a model's limits, and fills in the defaults.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a value that is out of range.
    pub fn new(params: &Params, defaults: Defaults, limits: Limits) -> Result<Self> {
        let Defaults { size, steps, guidance } = defaults;
        let models = Params {
            width: Some(size),
            height: Some(size),
            steps: Some(steps),
            guidance: Some(guidance),
            ..Params::default()
        };
        let params = params.clone().or(&models).or(&Params::constants());
        params.check()?;
        params.check_without_images()?;
        let (width, height) = limits.sides(&params)?;
        let guidance = params.guidance.unwrap_or_default();
        Ok(Self {
            prompt: params.prompt,
            negative: params.negative.filter(|_| guidance > 0.0),
            width,
            height,
            steps: params.steps.unwrap_or_default(),
            guidance,
            guidance_normalization: params.guidance_normalization.unwrap_or_default(),
            guidance_rescale: params.guidance_rescale.unwrap_or_default(),
            guidance_truncation: params.guidance_truncation.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const DEFAULTS: Defaults = Defaults { size: 256, steps: 8, guidance: 0.0 };
    const LIMITS: Limits = Limits { multiple: 16, side_min: 64, side_max: 1024, tokens_max: 1504 };

    fn plan(change: impl FnOnce(&mut Params)) -> Result<ResolvedParams> {
        let mut params = Params { prompt: "a fox".into(), ..Params::default() };
        change(&mut params);
        ResolvedParams::new(&params, DEFAULTS, LIMITS)
    }

    #[test]
    fn defaults_come_from_the_model() {
        let plan = plan(|_| {}).unwrap();
        assert_eq!((plan.width, plan.height, plan.steps), (256, 256, 8));
        assert_eq!((plan.guidance, plan.negative), (0.0, None));
    }

    #[test]
    fn the_negative_prompt_needs_guidance() {
        let without = plan(|p| p.negative = Some("blur".into())).unwrap();
        assert_eq!(without.negative, None);
        let with = plan(|p| p.guidance = Some(4.0)).unwrap();
        assert_eq!(with.negative.as_deref(), Some(""));
    }

    #[test]
    fn refusals_say_the_limit() {
        for (change, part) in [
            (
                (|p| p.width = Some(250)) as fn(&mut Params),
                "`width` is 250, expected a multiple of 16",
            ),
            (|p| p.height = Some(48), "`height` is 48, expected a multiple of 16 from 64 to 2048"),
            (|p| p.height = Some(2064), "is 2064"),
            (|p| p.height = Some(1040), "is 1040, expected a multiple of 16 from 64 to 1024"),
            (|p| p.steps = Some(0), "`steps` is 0, expected an integer from 1 to 100"),
            (|p| p.steps = Some(101), "is 101"),
            (|p| p.guidance = Some(f32::NAN), "`guidance` is NaN, expected a number from 0"),
            (|p| p.guidance_normalization = Some(-1.0), "`guidance_normalization` is -1"),
        ] {
            let error = plan(change).unwrap_err();
            assert!(matches!(error, Error::Parameter(ParamsError::OutOfRange { .. })));
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
