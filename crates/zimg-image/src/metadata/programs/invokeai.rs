//! InvokeAI's metadata: JSON under `invokeai_metadata` (`CoreMetadataInvocation` in its
//! `invokeai/app/invocations/metadata.py`), and before version 3 under `sd-metadata`.

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::FileTexts;

/// Reading of one version's JSON.
type Form = fn(&Object) -> ForeignParams;

/// Keywords of the versions, the newest first, and how each is read. A graph alone and a command
/// line are not read.
const FORMS: [(&str, Option<Form>); 5] = [
    ("invokeai_metadata", Some(current)),
    ("sd-metadata", Some(version_2)),
    ("invokeai_workflow", None),
    ("invokeai_graph", None),
    ("Dream", None),
];

/// The newest form that the file has.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    FORMS.into_iter().find_map(|(keyword, form)| {
        let text = texts.get(keyword)?;
        let metadata = form.ok_or(UnreadMetadata::Format).and_then(|form| {
            let object = json::object(text).ok_or(UnreadMetadata::Malformed)?;
            form(&object).metadata(texts.size())
        });
        Some(Reading { writer: MetadataWriter::InvokeAi, text: text.to_owned(), metadata })
    })
}

fn named(version: Option<String>) -> Option<String> {
    Some(version.map_or("InvokeAI".to_owned(), |version| format!("InvokeAI {version}")))
}

fn current(root: &Object) -> ForeignParams {
    let model = root.get("model").and_then(|model| {
        let model = model.as_object()?;
        json::text(model, "name").or_else(|| json::text(model, "model_name"))
    });
    ForeignParams {
        prompt: json::text(root, "positive_prompt"),
        negative: json::text(root, "negative_prompt"),
        width: json::small(root, "width"),
        height: json::small(root, "height"),
        steps: json::small(root, "steps"),
        seed: json::seed(root, "seed"),
        cfg: json::real(root, "cfg_scale"),
        model,
        program: named(json::text(root, "app_version")),
    }
}

/// The prompts are one text, or a list of texts with weights; the negative one is in brackets.
fn version_2(root: &Object) -> ForeignParams {
    let image = root.get("image").and_then(|image| image.as_object()).cloned().unwrap_or_default();
    let prompt = json::text(&image, "prompt")
        .or_else(|| json::text(image.get("prompt")?.as_array()?.first()?.as_object()?, "prompt"));
    let brackets = prompt.as_deref().and_then(|prompt| {
        let (positive, rest) = prompt.split_once('[')?;
        let (negative, rest) = rest.split_once(']')?;
        (rest.trim().is_empty()).then(|| (positive.trim().to_owned(), negative.to_owned()))
    });
    let (prompt, negative) = match brackets {
        Some((prompt, negative)) => (Some(prompt), Some(negative)),
        None => (prompt, None),
    };
    ForeignParams {
        prompt,
        negative,
        width: json::small(&image, "width"),
        height: json::small(&image, "height"),
        steps: json::small(&image, "steps"),
        seed: json::seed(&image, "seed"),
        cfg: json::real(&image, "cfg_scale"),
        model: json::text(root, "model_weights"),
        program: named(json::text(root, "app_version")),
    }
}
