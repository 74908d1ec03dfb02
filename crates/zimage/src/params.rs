//! Resolved parameters: those of a request within the model's limits, with its defaults filled in.

pub use zimage_params::Params;
use zimage_params::limits::default_strength;
use zimage_params::{Parameter, ParamsError, Range, Value};

use crate::error::Result;
use crate::schedule;

/// Which images a request brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputImages {
    /// The image that generation starts from.
    pub initial: InitialImage,
    /// Whether there is a control image.
    pub control: bool,
}

/// Whether a request brings an initial image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialImage {
    /// None: text to image.
    #[default]
    None,
    /// One whose every part may change.
    Alone,
    /// One with a mask of what may change.
    WithMask,
}

impl InputImages {
    /// None: text to image.
    pub const NONE: Self = Self { initial: InitialImage::None, control: false };
    /// An initial image alone.
    pub const INITIAL: Self = Self { initial: InitialImage::Alone, control: false };
    /// An initial image with a mask.
    pub const INITIAL_AND_MASK: Self = Self { initial: InitialImage::WithMask, control: false };
}

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
    /// Whether a request can have an initial image.
    pub initial_image: bool,
    /// Whether it can have a mask beside.
    pub mask: bool,
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

/// Noise in the prompt's features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variety {
    /// The noise as a multiple of the features' standard deviation.
    pub strength: f32,
    /// The share of the features' values that have noise.
    pub share: f32,
    /// How many steps have it, from the first one that is computed.
    pub steps: u32,
    /// Its seed, if it is not the image's.
    pub seed: Option<u64>,
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
    /// How much of the initial image is drawn again; `None` without one.
    pub strength: Option<f32>,
    /// Whether a control image steers the steps.
    pub is_controlled: bool,
    /// Noise in the prompt's features; `None` is none.
    pub variety: Option<Variety>,
    /// The second pass; `None` where there is none.
    pub hires: Option<Hires>,
}

/// The second pass of an image: it is drawn again from the first pass, enlarged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hires {
    /// Width and height of the first pass.
    pub first: (u32, u32),
    /// How much of the enlarged image is drawn again.
    pub strength: f32,
}

impl ResolvedParams {
    /// Checks parameters against their ranges and a model's limits, and fills in the defaults.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a value that is out of range.
    pub fn new(
        params: &Params,
        defaults: Defaults,
        limits: Limits,
        images: InputImages,
    ) -> Result<Self> {
        let Defaults { size, steps, guidance } = defaults;
        let models = Params {
            width: Some(params.usual_side(size).min(limits.side_max)),
            height: Some(params.usual_side(size).min(limits.side_max)),
            steps: Some(steps),
            guidance: Some(guidance),
            ..Params::default()
        };
        let params = params.clone().or(&models).or(&Params::constants());
        params.check()?;
        let strength = match images.initial {
            InitialImage::None => {
                params.check_without_images()?;
                None
            }
            InitialImage::Alone => Some(default_strength(false)),
            InitialImage::WithMask => Some(default_strength(true)),
        };
        if images != InputImages::NONE {
            params.check_with_images()?;
        }
        let (width, height) = limits.sides(&params)?;
        params.check_first_size((width, height))?;
        let hires = params
            .second_pass()
            .map(|pass| Hires { first: pass.first_size((width, height)), strength: pass.strength });
        let guidance = params.guidance.unwrap_or_default();
        let (steps, strength) = (
            params.steps.unwrap_or_default(),
            strength.map(|default| params.strength.unwrap_or(default)),
        );
        let computed = steps - strength.map_or(0, |of| schedule::first_step(steps, of));
        let variety = Variety {
            strength: params.variety.unwrap_or_default(),
            share: params.variety_share.unwrap_or_default(),
            steps: schedule::part(computed, params.variety_steps.unwrap_or_default()),
            seed: params.variety_seed,
        };
        Ok(Self {
            prompt: params.prompt,
            negative: params.negative.filter(|_| guidance > 0.0),
            width,
            height,
            steps,
            guidance,
            guidance_normalization: params.guidance_normalization.unwrap_or_default(),
            guidance_rescale: params.guidance_rescale.unwrap_or_default(),
            guidance_truncation: params.guidance_truncation.unwrap_or_default(),
            strength,
            variety: Some(variety).filter(|variety| variety.strength > 0.0),
            hires,
            is_controlled: images.control,
        })
    }

    /// The parameters of each pass that draws the image: one, or a smaller one and one that begins with
    /// its result.
    pub fn passes(&self) -> Vec<Self> {
        let Some(Hires { first: (width, height), strength }) = self.hires else {
            return vec![self.clone()];
        };
        let first = Self { width, height, hires: None, ..self.clone() };
        // The composition is there: what varies it would only blur the details.
        let second = Self { strength: Some(strength), variety: None, hires: None, ..self.clone() };
        vec![first, second]
    }

    /// The first step that is computed: 0 without an initial image.
    pub fn first_step(&self) -> u32 {
        self.strength.map_or(0, |strength| schedule::first_step(self.steps, strength))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const DEFAULTS: Defaults = Defaults { size: 256, steps: 8, guidance: 0.0 };
    const LIMITS: Limits = Limits {
        multiple: 16,
        side_min: 64,
        side_max: 1024,
        tokens_max: 1504,
        initial_image: true,
        mask: true,
    };

    fn plan(change: impl FnOnce(&mut Params)) -> Result<ResolvedParams> {
        let mut params = Params { prompt: "a fox".into(), ..Params::default() };
        change(&mut params);
        ResolvedParams::new(&params, DEFAULTS, LIMITS, InputImages::NONE)
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
    fn strength_has_the_default_of_its_images() {
        let of = |strength, images| {
            let params = Params { strength, ..Params::new("a fox") };
            ResolvedParams::new(&params, DEFAULTS, LIMITS, images)
        };
        for (images, default, first) in [
            (InputImages::NONE, None, 0),
            (InputImages::INITIAL, Some(0.6), 3),
            (InputImages::INITIAL_AND_MASK, Some(1.0), 0),
        ] {
            let params = of(None, images).unwrap();
            assert_eq!((params.strength, params.first_step()), (default, first));
            match of(Some(0.5), images) {
                Ok(params) => assert_eq!((params.strength, params.first_step()), (Some(0.5), 4)),
                Err(error) => {
                    assert_eq!(images, InputImages::NONE);
                    assert!(matches!(error, Error::Parameter(ParamsError::NoInitialImage { .. })));
                }
            }
        }
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
