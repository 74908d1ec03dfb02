//! Easy Diffusion's metadata: a PNG text for each setting, or JSON as EXIF's user comment, with the
//! names of its requests or of its screen (`TASK_TEXT_MAPPING` in its
//! `ui/easydiffusion/utils/save_utils.py`).

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading};
use crate::metadata::containers::{FileTexts, field};

const NAME: &str = "Easy Diffusion";
/// Names that Easy Diffusion alone has.
const SIGNS: [&str; 2] = ["use_stable_diffusion_model", "Stable Diffusion model"];
/// Names of requests, and those of the screen.
const NAMES: [(&str, &str); 9] = [
    ("prompt", "Prompt"),
    ("negative_prompt", "Negative Prompt"),
    ("seed", "Seed"),
    ("use_stable_diffusion_model", "Stable Diffusion model"),
    ("width", "Width"),
    ("height", "Height"),
    ("num_inference_steps", "Steps"),
    ("guidance_scale", "Guidance Scale"),
    ("sampler_name", "Sampler"),
];

/// The settings in either place.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let comment = texts.get(field::USER_COMMENT).and_then(|text| Some((text, json::object(text)?)));
    let (text, object) = match comment {
        Some((text, object)) => (text.to_owned(), object),
        None => {
            let chunks = NAMES.iter().flat_map(|(key, name)| [*key, *name]);
            let chunks = chunks.filter_map(|key| Some((key, texts.get(key)?)));
            let object: Object =
                chunks.clone().map(|(key, text)| (key.to_owned(), text.into())).collect();
            let lines: Vec<_> = chunks.map(|(key, text)| format!("{key}: {text}")).collect();
            (lines.join("\n"), object)
        }
    };
    if !SIGNS.iter().any(|sign| object.contains_key(*sign)) {
        return None;
    }
    let metadata = of(&object).metadata(texts.size());
    Some(Reading { writer: MetadataWriter::EasyDiffusion, text, metadata })
}

fn of(object: &Object) -> ForeignParams {
    let key = |name: &'static str| {
        let screen = NAMES.iter().find(|(key, _)| *key == name).map_or(name, |pair| pair.1);
        if object.contains_key(name) { name } else { screen }
    };
    ForeignParams {
        prompt: json::text(object, key("prompt")),
        negative: json::text(object, key("negative_prompt")),
        width: json::small(object, key("width")),
        height: json::small(object, key("height")),
        steps: json::small(object, key("num_inference_steps")),
        seed: json::seed(object, key("seed")),
        cfg: json::real(object, key("guidance_scale")),
        model: json::text(object, key("use_stable_diffusion_model")),
        program: Some(NAME.to_owned()),
    }
}
