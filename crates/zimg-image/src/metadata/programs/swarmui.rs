//! SwarmUI's metadata: JSON with `sui_image_params` in the place of the parameters text
//! (`GenFullMetadataObject` in its `src/Text2Image/T2IParamInput.cs`, `ConvertTo` in its
//! `src/Media/ImageFile.cs`).

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::{FileTexts, field};
use crate::metadata::keywords::PARAMETERS_KEYWORD;

/// The JSON under any of its keywords.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    [PARAMETERS_KEYWORD, field::USER_COMMENT, field::MODEL].into_iter().find_map(|keyword| {
        let text = texts.get(keyword).filter(|text| text.contains("sui_image_params"))?;
        let root = json::object(text);
        let params = root.as_ref().and_then(|root| root.get("sui_image_params")?.as_object());
        let metadata =
            params.ok_or(UnreadMetadata::Malformed).and_then(|p| of(p).metadata(texts.size()));
        Some(Reading { writer: MetadataWriter::SwarmUi, text: text.to_owned(), metadata })
    })
}

fn of(params: &Object) -> ForeignParams {
    let version = json::text(params, "swarm_version");
    ForeignParams {
        prompt: json::text(params, "prompt"),
        negative: json::text(params, "negativeprompt"),
        width: json::small(params, "width"),
        height: json::small(params, "height"),
        steps: json::small(params, "steps"),
        seed: json::seed(params, "seed"),
        cfg: json::real(params, "cfgscale"),
        model: json::text(params, "model"),
        program: Some(version.map_or("SwarmUI".to_owned(), |v| format!("SwarmUI {v}"))),
    }
}
