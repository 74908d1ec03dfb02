//! mflux's metadata: JSON as EXIF's user comment (`GeneratedImage._get_metadata` in its
//! `src/mflux/utils/generated_image.py`).

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::{FileTexts, field};

const VERSION: &str = "mflux_version";
/// Names of images that an image was made from.
const INPUTS: [&str; 4] =
    ["image_path", "image_paths", "controlnet_image_path", "masked_image_path"];

pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let text = texts.get(field::USER_COMMENT)?;
    let root = json::object(text).filter(|root| root.contains_key(VERSION))?;
    let is_of_image =
        INPUTS.iter().any(|name| root.get(*name).is_some_and(|input| !input.is_null()));
    let metadata = match is_of_image {
        true => Err(UnreadMetadata::FromImage),
        false => of(&root).metadata(texts.size()),
    };
    Some(Reading { writer: MetadataWriter::Mflux, text: text.to_owned(), metadata })
}

fn of(root: &Object) -> ForeignParams {
    let model = json::text(root, "model");
    // Z-Image's guidance is that of diffusers and off up to 1 (`_predict` and `_encode_prompts` in its
    // `models/z_image/variants/z_image.py`); what FLUX has under this name is no CFG.
    let names = [model.clone(), json::text(root, "base_model")];
    let is_z_image = names.iter().flatten().any(|name| name.to_lowercase().contains("z-image"));
    let guidance = json::real(root, "guidance").filter(|guidance| is_z_image && *guidance > 1.0);
    ForeignParams {
        prompt: json::text(root, "prompt"),
        negative: json::text(root, "negative_prompt"),
        width: json::small(root, "width"),
        height: json::small(root, "height"),
        steps: json::small(root, "steps"),
        seed: json::seed(root, "seed"),
        cfg: guidance.map(zimage_params::cfg_of_guidance),
        model,
        program: json::text(root, VERSION).map(|version| format!("mflux {version}")),
    }
}
