//! How an image was made, as it is written into the image: enough to draw it again.

pub(crate) mod exif;
mod parameters;
mod read;

use serde::{Deserialize, Serialize};
use zimg_client::{ImageInfo, ModelInfo, Params, Started};

pub(crate) use read::{Found, found, read};

/// The keyword of the text that other programs read too, in the form of AUTOMATIC1111's web UI.
pub(crate) const PARAMETERS: &str = "parameters";
/// The keyword of the whole recipe, as JSON.
pub(crate) const KEYWORD: &str = "zimg";

/// The program that writes recipes.
const PROGRAM: &str = concat!("zimg ", env!("CARGO_PKG_VERSION"));

/// How an image was made. Fields are added, never changed; a reader ignores those it does not
/// know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    pub(crate) prompt: String,
    #[serde(default)]
    pub(crate) negative: Option<String>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) steps: u32,
    #[serde(default)]
    pub(crate) guidance: f32,
    #[serde(default)]
    pub(crate) guidance_normalization: f32,
    #[serde(default = "never")]
    pub(crate) guidance_truncation: f32,
    pub(crate) seed: u64,
    /// The model's name.
    #[serde(default)]
    pub(crate) model: Option<String>,
    /// The type it was computed in, such as "bfloat16".
    #[serde(default)]
    pub(crate) dtype: Option<String>,
    /// What computed it.
    #[serde(default)]
    pub(crate) device: Option<String>,
    /// The program that asked for it, and its version.
    #[serde(default)]
    pub(crate) program: Option<String>,
}

/// Guidance is never switched off.
fn never() -> f32 {
    1.0
}

impl Recipe {
    /// Of one image of a job: what was asked for, what the defaults became, and which it is.
    pub(crate) fn of(
        draw: &Params,
        started: &Started,
        image: &ImageInfo,
        model: Option<&ModelInfo>,
    ) -> Self {
        // Only the model that draws: another may have been loaded meanwhile.
        let model = model.filter(|model| model.name == started.model);
        Self {
            prompt: draw.prompt.clone(),
            negative: draw.negative.clone(),
            width: image.width,
            height: image.height,
            steps: started.steps,
            guidance: started.guidance,
            guidance_normalization: draw.guidance_normalization.unwrap_or_default(),
            guidance_truncation: draw.guidance_truncation.unwrap_or(never()),
            seed: image.seed,
            model: Some(started.model.clone()),
            dtype: model.map(|model| model.dtype.clone()),
            device: model.map(|model| model.device.clone()),
            program: Some(PROGRAM.to_owned()),
        }
    }

    /// The request that draws it again.
    pub(crate) fn to_draw(&self) -> Params {
        Params {
            prompt: self.prompt.clone(),
            negative: self.negative.clone(),
            width: Some(self.width),
            height: Some(self.height),
            steps: Some(self.steps),
            guidance: Some(self.guidance),
            guidance_normalization: Some(self.guidance_normalization),
            guidance_truncation: Some(self.guidance_truncation),
            seed: Some(self.seed),
            count: Some(1),
        }
    }

    /// All of it, for zimg.
    pub(crate) fn to_json(&self) -> String {
        // Text and numbers alone: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From `to_json`, of this or another version.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// For other programs and for people.
    pub(crate) fn to_parameters(&self) -> String {
        parameters::write(self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn recipe() -> Recipe {
        Recipe {
            prompt: "a red fox,\nin the snow: \"❄\"".to_owned(),
            negative: Some("a dog".to_owned()),
            width: 1024,
            height: 768,
            steps: 8,
            guidance: 1.5,
            guidance_normalization: 0.5,
            guidance_truncation: 0.75,
            seed: u64::MAX,
            model: Some("Z-Image-Turbo".to_owned()),
            dtype: Some("bfloat16".to_owned()),
            device: Some("cuda:0, NVIDIA H100".to_owned()),
            program: Some("zimg 0.1.0".to_owned()),
        }
    }

    #[test]
    fn json_gives_it_back_and_old_and_new_ones_are_read() {
        assert_eq!(Recipe::from_json(&recipe().to_json()), Some(recipe()));
        let old = r#"{"prompt":"a","width":64,"height":64,"steps":8,"seed":1,"later":[1]}"#;
        let old = Recipe::from_json(old).unwrap();
        assert_eq!((old.guidance, old.guidance_truncation, old.model), (0.0, 1.0, None));
        assert_eq!(Recipe::from_json(r#"{"prompt":"a"}"#), None);
    }

    #[test]
    fn it_is_the_request_with_the_defaults_as_they_became() {
        let draw = Params { seed: Some(7), count: Some(3), ..Params::new("a fox") };
        let started =
            Started { model: "tiny".to_owned(), width: 64, height: 80, steps: 4, guidance: 0.0 };
        let image = ImageInfo { index: 1, seed: 8, width: 64, height: 80, bytes: 3 * 64 * 80 };
        let recipe = Recipe::of(&draw, &started, &image, None);
        let again = Params {
            width: Some(64),
            height: Some(80),
            steps: Some(4),
            guidance: Some(0.0),
            seed: Some(8),
            ..Params::new("a fox")
        };
        assert_eq!(recipe.to_draw(), again);
    }
}
