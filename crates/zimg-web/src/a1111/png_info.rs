//! `png-info`: the generation metadata in an image.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zimg_client::params::cfg_of_guidance;
use zimg_image::{EmbeddedMetadata, GenerationMetadata};

use super::lists::SAMPLER;
use crate::problem::{Problem, Reason};
use crate::translate::Fields;

/// The answer to a body whose `image` is a file as base64, with or without a `data:` prefix. No
/// address is ever fetched.
///
/// # Errors
///
/// `Invalid`: the image is no base64 of a PNG, JPEG or WebP file.
pub(crate) fn answer(body: &[u8]) -> Result<Value, Problem> {
    let refused = |what: &str| {
        let message = format!("`image` is {what}, expected a PNG, JPEG or WebP file as base64");
        Problem::new(Reason::Invalid, message).param("image")
    };
    let text = Fields::of(body)?.text("image")?.ok_or_else(|| refused("missing"))?;
    let encoded = match text.split_once(";base64,") {
        Some((kind, encoded)) if kind.starts_with("data:") => encoded,
        _ => &text,
    };
    let file = STANDARD.decode(encoded.trim()).map_err(|_| refused("no base64"))?;
    let embedded = EmbeddedMetadata::from_bytes(&file).ok_or_else(|| refused("another file"))?;
    let info = embedded.parameters.unwrap_or_default();
    let parameters = embedded.generation.as_ref().map(settings).unwrap_or_default();
    Ok(json!({"info": info, "items": {"parameters": info}, "parameters": parameters}))
}

/// The settings by A1111's labels, as its own parser reads them from the text.
fn settings(metadata: &GenerationMetadata) -> Map<String, Value> {
    let params = &metadata.params;
    let settings = [
        ("Prompt", Some(json!(params.prompt))),
        ("Negative prompt", Some(json!(params.negative.as_deref().unwrap_or_default()))),
        ("Steps", params.steps.map(|steps| json!(steps.to_string()))),
        ("Sampler", Some(json!(SAMPLER))),
        ("CFG scale", params.guidance.map(|g| json!(cfg_of_guidance(g).to_string()))),
        ("Seed", params.seed.map(|seed| json!(seed.to_string()))),
        ("Size-1", params.width.map(|width| json!(width.to_string()))),
        ("Size-2", params.height.map(|height| json!(height.to_string()))),
        ("Model", metadata.model.as_ref().map(|model| json!(model))),
    ];
    let known = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    known.collect()
}

#[cfg(test)]
mod tests {
    use zimg_client::params::Params;
    use zimg_image::{Encoding, ImageFormat, Pixels};

    use super::*;

    fn body(image: &str) -> Vec<u8> {
        json!({"image": image}).to_string().into_bytes()
    }

    #[test]
    fn the_settings_of_an_image_are_read_in_a1111s_units() {
        let rgb = vec![7; 3 * 64 * 64];
        let metadata = GenerationMetadata {
            params: Params {
                width: Some(64),
                height: Some(64),
                steps: Some(8),
                guidance: Some(1.5),
                seed: Some(u64::MAX),
                ..Params::new("a fox")
            },
            ..GenerationMetadata::default()
        };
        let pixels = Pixels { width: 64, height: 64, rgb: &rgb };
        let file = ImageFormat::Png.encode(pixels, Encoding::default(), Some(&metadata)).unwrap();
        let encoded = STANDARD.encode(file);
        for text in [encoded.clone(), format!("data:image/png;base64,{encoded}")] {
            let answer = answer(&body(&text)).unwrap();
            assert_eq!(answer["parameters"]["CFG scale"], "2.5");
            assert_eq!(answer["parameters"]["Seed"], "18446744073709551615");
            assert!(answer["info"].as_str().unwrap().starts_with("a fox\nSteps: 8"));
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for text in ["", "x", "aGVsbG8=", "http://127.0.0.1/x.png", "data:image/png;base64,"] {
            assert_eq!(answer(&body(text)).unwrap_err().parameter(), Some("image"), "{text}");
        }
        assert!(answer(b"{}").is_err());
    }
}
