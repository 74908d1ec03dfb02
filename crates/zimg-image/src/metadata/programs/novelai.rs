//! NovelAI's metadata: JSON in the PNG text `Comment`, the prompt in `Description`.

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::{FileTexts, field};

const NAME: &str = "NovelAI";

/// The JSON. Metadata in the lowest bits of the pixels is not looked for.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let named = [texts.get("Software"), texts.get(field::SOFTWARE)].contains(&Some(NAME));
    let text = texts.get("Comment").or_else(|| texts.get(field::USER_COMMENT))?;
    let root = json::object(text);
    let known = |root: &Object| {
        root.contains_key("uc") && root.contains_key("scale") && root.contains_key("sampler")
    };
    if !named && !root.as_ref().is_some_and(known) {
        return None;
    }
    let metadata = root.ok_or(UnreadMetadata::Malformed).and_then(|root| {
        let prompt = json::text(&root, "prompt");
        ForeignParams {
            prompt: prompt.or_else(|| texts.get("Description").map(str::to_owned)),
            negative: json::text(&root, "uc"),
            width: json::small(&root, "width"),
            height: json::small(&root, "height"),
            steps: json::small(&root, "steps"),
            seed: json::seed(&root, "seed"),
            cfg: json::real(&root, "scale"),
            model: texts.get("Source").map(str::to_owned),
            program: Some(NAME.to_owned()),
        }
        .metadata(texts.size())
    });
    Some(Reading { writer: MetadataWriter::NovelAi, text: text.to_owned(), metadata })
}
