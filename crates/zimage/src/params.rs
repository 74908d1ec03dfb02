//! What to draw: as asked, and as decided.

use crate::error::{Error, Result};

/// What a caller asks for; `None` leaves it to the model's defaults.
///
/// Names and meanings are those of diffusers' `ZImagePipeline`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// The prompt.
    pub prompt: String,
    /// The negative prompt, used when guidance is above 0; `None` is the empty one.
    pub negative: Option<String>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Denoising steps.
    pub steps: Option<u32>,
    /// Guidance g of `pred = pos + g·(pos − neg)`; 0 is off.
    pub guidance: Option<f32>,
    /// `cfg_normalization`: at most this many times the norm of `pos`; 0 is off.
    pub guidance_normalization: f32,
    /// `cfg_truncation`: guidance is off once the time exceeds this; 1 is never.
    pub guidance_truncation: Option<f32>,
}

/// What a model draws when nothing is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Width and height in pixels.
    pub size: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Guidance.
    pub guidance: f32,
}

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Sides are multiples of this many pixels.
    pub multiple: u32,
    /// The shortest side in pixels.
    pub side_min: u32,
    /// The longest side in pixels.
    pub side_max: u32,
    /// The most steps.
    pub steps_max: u32,
    /// The most tokens of a prompt, template included.
    pub tokens_max: usize,
}

/// Parameters that were checked, with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
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
    /// Guidance is off once the time exceeds this.
    pub guidance_truncation: f32,
}

impl Plan {
    /// Checks parameters against a model's limits and fills in its defaults.
    ///
    /// # Errors
    /// [`Error::Refused`] for a size, steps or guidance the model does not take.
    pub fn new(params: &Params, defaults: Defaults, limits: Limits) -> Result<Self> {
        let side = |name: &str, asked: Option<u32>| {
            let pixels = asked.unwrap_or(defaults.size);
            let Limits { multiple, side_min, side_max, .. } = limits;
            if pixels < side_min || pixels > side_max || !pixels.is_multiple_of(multiple) {
                return Err(Error::Refused(format!(
                    "the {name} must be a multiple of {multiple} from {side_min} to {side_max} pixels, not {pixels}"
                )));
            }
            Ok(pixels)
        };
        let steps = params.steps.unwrap_or(defaults.steps);
        if steps == 0 || steps > limits.steps_max {
            let max = limits.steps_max;
            return Err(Error::Refused(format!("steps must be 1 to {max}, not {steps}")));
        }
        let guidance = params.guidance.unwrap_or(defaults.guidance);
        let normalization = params.guidance_normalization;
        let truncation = params.guidance_truncation.unwrap_or(1.0);
        for (name, value) in [
            ("guidance", guidance),
            ("guidance normalization", normalization),
            ("guidance truncation", truncation),
        ] {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::Refused(format!("{name} must be 0 or more, not {value}")));
            }
        }
        let negative = (guidance > 0.0).then(|| params.negative.clone().unwrap_or_default());
        Ok(Self {
            prompt: params.prompt.clone(),
            negative,
            width: side("width", params.width)?,
            height: side("height", params.height)?,
            steps,
            guidance,
            guidance_normalization: normalization,
            guidance_truncation: truncation,
        })
    }

    /// The guidance at time `t` (0 = noise, 1 = image).
    pub(crate) fn guidance_at(&self, t: f32) -> f32 {
        if t > self.guidance_truncation { 0.0 } else { self.guidance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults { size: 256, steps: 8, guidance: 0.0 };
    const LIMITS: Limits =
        Limits { multiple: 16, side_min: 64, side_max: 2048, steps_max: 100, tokens_max: 1504 };

    fn plan(change: impl FnOnce(&mut Params)) -> Result<Plan> {
        let mut params = Params { prompt: "a fox".into(), ..Params::default() };
        change(&mut params);
        Plan::new(&params, DEFAULTS, LIMITS)
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
            ((|p| p.width = Some(250)) as fn(&mut Params), "width must be a multiple of 16"),
            (|p| p.height = Some(48), "height must be a multiple of 16 from 64 to 2048"),
            (|p| p.height = Some(2064), "not 2064"),
            (|p| p.steps = Some(0), "steps must be 1 to 100, not 0"),
            (|p| p.steps = Some(101), "not 101"),
            (|p| p.guidance = Some(f32::NAN), "guidance must be 0 or more"),
            (|p| p.guidance_normalization = -1.0, "guidance normalization must be 0 or more"),
        ] {
            let message = plan(change).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn truncation_turns_guidance_off_late() {
        let plan = plan(|p| {
            p.guidance = Some(4.0);
            p.guidance_truncation = Some(0.5);
        })
        .unwrap();
        assert_eq!(plan.guidance_at(0.5), 4.0);
        assert_eq!(plan.guidance_at(0.51), 0.0);
    }
}
