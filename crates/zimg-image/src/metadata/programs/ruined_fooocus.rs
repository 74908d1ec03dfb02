//! RuinedFooocus' metadata: flat JSON in the place of the parameters text (its
//! `modules/sdxl_pipeline.py`).

use super::json::{self, Object};
use super::{ForeignParams, MetadataWriter, Reading};
use crate::metadata::containers::FileTexts;
use crate::metadata::keywords::PARAMETERS_KEYWORD;

const NAME: &str = "RuinedFooocus";

pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let text = texts.get(PARAMETERS_KEYWORD)?;
    let root =
        json::object(text).filter(|root| json::text(root, "software").as_deref() == Some(NAME))?;
    let metadata = of(&root).metadata(texts.size());
    Some(Reading { writer: MetadataWriter::RuinedFooocus, text: text.to_owned(), metadata })
}

fn of(root: &Object) -> ForeignParams {
    ForeignParams {
        prompt: json::text(root, "Prompt"),
        negative: json::text(root, "Negative"),
        width: json::small(root, "width"),
        height: json::small(root, "height"),
        steps: json::small(root, "steps"),
        seed: json::seed(root, "seed"),
        cfg: json::real(root, "cfg"),
        model: json::text(root, "base_model_name"),
        program: Some(NAME.to_owned()),
    }
}
