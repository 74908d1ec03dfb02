//! Draw Things' metadata: JSON as XMP's user comment.

use super::json::{self, Object};
use super::settings::size;
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::{FileTexts, field};

const NAME: &str = "Draw Things";

/// The JSON, or the description if only that was left.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let comment = texts.get(field::USER_COMMENT);
    let root = comment.and_then(json::object);
    let known = |root: &Object| root.contains_key("c") && root.contains_key("uc");
    if texts.get(field::CREATOR_TOOL) != Some(NAME) && !root.as_ref().is_some_and(known) {
        return None;
    }
    let text = comment.or_else(|| texts.get(field::DESCRIPTION))?.to_owned();
    let metadata =
        root.ok_or(UnreadMetadata::Format).and_then(|root| of(&root).metadata(texts.size()));
    Some(Reading { writer: MetadataWriter::DrawThings, text, metadata })
}

fn of(root: &Object) -> ForeignParams {
    let size = json::text(root, "size").as_deref().and_then(size);
    ForeignParams {
        prompt: json::text(root, "c"),
        negative: json::text(root, "uc"),
        width: size.map(|size| size.0),
        height: size.map(|size| size.1),
        steps: json::small(root, "steps"),
        seed: json::seed(root, "seed"),
        cfg: json::real(root, "scale"),
        model: json::text(root, "model"),
        program: Some(NAME.to_owned()),
    }
}
