//! The generation metadata of one image: enough to generate it again.

use serde::{Deserialize, Serialize};

use super::parameters;

/// How an image was made. Fields are added, never changed; readers ignore fields that they do not
/// know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationMetadata {
    /// The prompt.
    pub prompt: String,
    /// The negative prompt.
    #[serde(default)]
    pub negative: Option<String>,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Guidance scale; 0 is off.
    #[serde(default)]
    pub guidance: f32,
    /// Limit of the guided prediction's norm; 0 is off.
    #[serde(default)]
    pub guidance_normalization: f32,
    /// Part of the denoising after which guidance is off; 1 is never.
    #[serde(default = "never")]
    pub guidance_truncation: f32,
    /// The seed of this image.
    pub seed: u64,
    /// The model's name.
    #[serde(default)]
    pub model: Option<String>,
    /// The data type of the computation, such as "bfloat16".
    #[serde(default)]
    pub dtype: Option<String>,
    /// The device of the computation.
    #[serde(default)]
    pub device: Option<String>,
    /// The program that requested the image, and its version.
    #[serde(default)]
    pub program: Option<String>,
}

/// The default of `guidance_truncation`.
fn never() -> f32 {
    1.0
}

impl GenerationMetadata {
    /// All fields as JSON, as zimg reads them.
    pub fn to_json(&self) -> String {
        // Text and numbers alone: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads [`Self::to_json`] of this or another version; none if a required field is missing.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The parameters text that AUTOMATIC1111's web UI writes, for other programs and for people.
    pub fn to_parameters(&self) -> String {
        parameters::write(self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn metadata() -> GenerationMetadata {
        GenerationMetadata {
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
        assert_eq!(GenerationMetadata::from_json(&metadata().to_json()), Some(metadata()));
        let old = r#"{"prompt":"a","width":64,"height":64,"steps":8,"seed":1,"later":[1]}"#;
        let old = GenerationMetadata::from_json(old).unwrap();
        assert_eq!((old.guidance, old.guidance_truncation, old.model), (0.0, 1.0, None));
        assert_eq!(GenerationMetadata::from_json(r#"{"prompt":"a"}"#), None);
    }
}
