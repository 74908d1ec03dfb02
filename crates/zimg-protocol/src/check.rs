//! Whether a request is within the limits: asked by the command line before it connects, by the
//! daemon before it queues, and by the worker before it draws.

use crate::error::{Failure, Kind};
use crate::limits::{
    COUNT_MAX, GUIDANCE_MAX, PROMPT_BYTES, SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, STEPS_MAX, side_fits,
};
use crate::messages::Draw;

impl Draw {
    /// One image of this prompt, all else as the model's defaults have it.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            negative: None,
            width: None,
            height: None,
            steps: None,
            guidance: None,
            guidance_normalization: 0.0,
            guidance_truncation: 1.0,
            seed: 0,
            count: 1,
        }
    }

    /// Every field against `limits`.
    ///
    /// # Errors
    ///
    /// `Kind::Refused` with the field, what it was and what it may be.
    pub fn check(&self) -> Result<(), Failure> {
        text("prompt", &self.prompt)?;
        text("negative prompt", self.negative.as_deref().unwrap_or_default())?;
        side("width", self.width)?;
        side("height", self.height)?;
        whole("steps", self.steps.unwrap_or(1), STEPS_MAX)?;
        whole("images", self.count, COUNT_MAX)?;
        real("guidance", self.guidance.unwrap_or(0.0), GUIDANCE_MAX)?;
        real("guidance normalization", self.guidance_normalization, GUIDANCE_MAX)?;
        real("guidance truncation", self.guidance_truncation, 1.0)
    }
}

fn text(what: &str, text: &str) -> Result<(), Failure> {
    let bytes = text.len();
    if bytes > PROMPT_BYTES {
        return refuse(format!("the {what} has {bytes} bytes, but at most {PROMPT_BYTES} fit"));
    }
    Ok(())
}

fn side(what: &str, pixels: Option<u32>) -> Result<(), Failure> {
    match pixels {
        Some(pixels) if !side_fits(pixels) => {
            let nearest = pixels.clamp(SIZE_MIN, SIZE_MAX).next_multiple_of(SIZE_MULTIPLE);
            let message = format!(
                "{what} {pixels} is not a multiple of {SIZE_MULTIPLE} from {SIZE_MIN} to {SIZE_MAX}"
            );
            Err(Failure::new(Kind::Refused, message).hint(format!("{nearest} would be")))
        }
        _ => Ok(()),
    }
}

fn whole(what: &str, value: u32, max: u32) -> Result<(), Failure> {
    if !(1..=max).contains(&value) {
        return refuse(format!("{value} {what} are not possible, only 1 to {max}"));
    }
    Ok(())
}

fn real(what: &str, value: f32, max: f32) -> Result<(), Failure> {
    if !(0.0..=max).contains(&value) {
        return refuse(format!("{what} {value} is not a number from 0 to {max}"));
    }
    Ok(())
}

fn refuse(message: String) -> Result<(), Failure> {
    Err(Failure::new(Kind::Refused, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut Draw)) -> String {
        let mut draw = Draw::new("a fox");
        change(&mut draw);
        let failure = draw.check().unwrap_err();
        assert_eq!(failure.kind, Kind::Refused);
        failure.message
    }

    #[test]
    fn defaults_and_extremes_pass() {
        Draw::new("").check().unwrap();
        let draw = Draw {
            prompt: "x".repeat(PROMPT_BYTES),
            negative: Some("y".repeat(PROMPT_BYTES)),
            width: Some(64),
            height: Some(2048),
            steps: Some(100),
            guidance: Some(100.0),
            guidance_normalization: 1.0,
            guidance_truncation: 0.0,
            seed: u64::MAX,
            count: COUNT_MAX,
        };
        draw.check().unwrap();
    }

    #[test]
    fn a_size_that_fits_is_near() {
        for (bad, good) in [(0, 64), (65, 80), (1000, 1008), (2047, 2048), (u32::MAX, 2048)] {
            let failure = Draw { height: Some(bad), ..Draw::new("") }.check().unwrap_err();
            assert_eq!(failure.hint, Some(format!("{good} would be")));
            Draw { height: Some(good), ..Draw::new("") }.check().unwrap();
        }
    }

    #[test]
    fn each_field_is_refused_by_name() {
        let long = "x".repeat(PROMPT_BYTES + 1);
        assert_eq!(
            message(|d| d.prompt = long.clone()),
            "the prompt has 65537 bytes, but at most 65536 fit"
        );
        assert_eq!(
            message(|d| d.negative = Some(long)),
            "the negative prompt has 65537 bytes, but at most 65536 fit"
        );
        for bad in [0, 16, 63, 72, 2049, 2064, u32::MAX] {
            assert_eq!(
                message(|d| d.width = Some(bad)),
                format!("width {bad} is not a multiple of 16 from 64 to 2048")
            );
            assert!(message(|d| d.height = Some(bad)).starts_with("height "));
        }
        assert_eq!(message(|d| d.steps = Some(0)), "0 steps are not possible, only 1 to 100");
        assert!(message(|d| d.steps = Some(101)).starts_with("101 steps"));
        assert_eq!(message(|d| d.count = 0), "0 images are not possible, only 1 to 256");
        assert!(message(|d| d.count = 257).starts_with("257 images"));
        assert_eq!(
            message(|d| d.guidance = Some(f32::NAN)),
            "guidance NaN is not a number from 0 to 100"
        );
        for bad in [-0.1, 100.1, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(message(|d| d.guidance = Some(bad)).starts_with("guidance "));
            assert!(message(|d| d.guidance_normalization = bad).starts_with("guidance norm"));
            assert!(message(|d| d.guidance_truncation = bad).starts_with("guidance trunc"));
        }
    }
}
