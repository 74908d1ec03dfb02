//! Fooocus' own scheme: JSON in the place of the parameters text (`FooocusMetadataParser` in its
//! `modules/meta_parser.py`). Its other scheme is the parameters text itself.

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::{FileTexts, field};
use crate::metadata::keywords::PARAMETERS_KEYWORD;

/// The keyword that names the scheme in PNG.
const SCHEME: &str = "fooocus_scheme";

/// The JSON: named by the scheme, or recognized by keys that Fooocus alone has.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let mut schemes = [SCHEME, field::MAKER_NOTE].into_iter().filter_map(|name| texts.get(name));
    let named = schemes.any(|scheme| scheme.trim() == "fooocus");
    [PARAMETERS_KEYWORD, field::USER_COMMENT].into_iter().find_map(|keyword| {
        let text = texts.get(keyword)?;
        let root = json::object(text);
        let known =
            |root: &Object| root.contains_key("full_prompt") || root.contains_key("adm_guidance");
        if !named && !root.as_ref().is_some_and(known) {
            return None;
        }
        let metadata =
            root.ok_or(UnreadMetadata::Malformed).and_then(|root| of(&root).metadata(texts.size()));
        Some(Reading { writer: MetadataWriter::Fooocus, text: text.to_owned(), metadata })
    })
}

fn of(root: &Object) -> ForeignParams {
    let resolution = json::text(root, "resolution").and_then(|text| {
        let sides = text.trim().strip_prefix('(')?.strip_suffix(')')?.to_owned();
        let (width, height) = sides.split_once(',')?;
        Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
    });
    ForeignParams {
        prompt: json::text(root, "prompt"),
        negative: json::text(root, "negative_prompt"),
        width: resolution.map(|sides: (u32, u32)| sides.0),
        height: resolution.map(|sides| sides.1),
        steps: json::small(root, "steps"),
        seed: json::seed(root, "seed"),
        cfg: json::real(root, "guidance_scale"),
        model: json::text(root, "base_model"),
        program: json::text(root, "version").or(Some("Fooocus".to_owned())),
    }
}
