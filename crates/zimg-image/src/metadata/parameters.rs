//! The A1111 parameters text: the prompt, a line for the negative prompt and a line of settings, as
//! AUTOMATIC1111's web UI writes them and other programs read them. Numbers are in their units.

use zimage_params::{LoraChoice, Parameter, cfg_of_guidance};

use super::generation::GenerationMetadata;
use super::keywords::{GUIDANCE_LABEL, ZIMG_OF_OLD_UNIT};

/// The program that is named where the metadata names none.
const PROGRAM: &str = concat!("zimg ", env!("CARGO_PKG_VERSION"));

const NEGATIVE: &str = "\nNegative prompt: ";

impl GenerationMetadata {
    /// The parameters text that AUTOMATIC1111's web UI writes, for other programs and for people.
    pub fn to_parameters(&self) -> String {
        write(self)
    }

    /// Whether this image's parameters text is of version 0.1, whose CFG scale is guidance.
    pub(super) fn is_of_old_unit(&self, text: &str) -> bool {
        let old = |program: &str| program.starts_with(ZIMG_OF_OLD_UNIT);
        let settings = text.lines().next_back().unwrap_or_default();
        self.program.as_deref().is_some_and(old)
            && settings.contains(ZIMG_OF_OLD_UNIT)
            && !settings.contains(GUIDANCE_LABEL)
    }
}

fn write(metadata: &GenerationMetadata) -> String {
    let params = &metadata.params;
    let negative = match params.negative.as_deref().unwrap_or_default() {
        "" => String::new(),
        text => format!("{NEGATIVE}{text}"),
    };
    // Tags as the web UI has them, where viewers look for them.
    let loras = LoraChoice::list(params.lora.as_deref().unwrap_or_default()).unwrap_or_default();
    let tag = |lora: &LoraChoice| format!(" <lora:{}:{}>", lora.name, lora.weight);
    let tags: String = loras.iter().map(tag).collect();
    let mut text = format!("{}{tags}{negative}\n", params.prompt);
    let mut setting = |label: &str, value: &str| {
        let separator = if text.ends_with('\n') { "" } else { ", " };
        text += &format!("{separator}{label}: {value}");
    };
    let label = |name: &str| Parameter::named(name).and_then(|row| row.metadata.label());
    if let (Some(label), Some(steps)) = (label("steps"), params.steps) {
        setting(label, &steps.to_string());
    }
    setting("Sampler", "Euler");
    if let (Some(label), Some(guidance)) = (label("guidance"), params.guidance) {
        setting(label, &cfg_of_guidance(guidance).to_string());
    }
    if let (Some(label), Some(seed)) = (label("seed"), params.seed) {
        setting(label, &seed.to_string());
    }
    if let Some((width, height)) = params.width.zip(params.height) {
        setting("Size", &format!("{width}x{height}"));
    }
    for (row, value) in metadata.unusual() {
        if let Some(label) = row.metadata.label() {
            setting(label, &quoted(&value.to_string()));
        }
    }
    if let Some(guidance) = params.guidance {
        setting(GUIDANCE_LABEL, &guidance.to_string());
    }
    if let Some(model) = &metadata.model {
        setting("Model", &quoted(model));
    }
    setting("Version", &quoted(metadata.program.as_deref().unwrap_or(PROGRAM)));
    text
}

/// A value of the settings, in quotes where it would not be told from what follows.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '"', '\n']) {
        serde_json::to_string(value).unwrap_or_default()
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use zimage_params::Params;

    use super::super::generation::tests::metadata;
    use super::*;

    #[test]
    fn it_is_the_text_that_viewers_know() {
        let plain = GenerationMetadata {
            params: Params {
                prompt: "a fox".to_owned(),
                negative: None,
                guidance: Some(0.0),
                ..metadata().params
            },
            ..metadata()
        };
        assert_eq!(
            write(&plain),
            "a fox\nSteps: 8, Sampler: Euler, CFG scale: 1, Seed: 18446744073709551615, \
             Size: 1024x768, zimg guidance: 0, Model: Z-Image-Turbo, Version: zimg 0.1.0"
        );
        let full = write(&metadata());
        assert!(full.contains("\"❄\"\nNegative prompt: a dog\nSteps: 8, "), "{full}");
    }

    #[test]
    fn old_texts_are_told_from_new_ones() {
        let new = write(&metadata());
        assert!(!metadata().is_of_old_unit(&new));
        let old = new.replace("zimg guidance: 1.5, ", "");
        assert!(metadata().is_of_old_unit(&old));
        let later = GenerationMetadata { program: Some("zimg 0.2.0".to_owned()), ..metadata() };
        assert!(!later.is_of_old_unit(&old.replace("zimg 0.1.0", "zimg 0.2.0")));
    }
}
