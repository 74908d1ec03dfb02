//! Descriptions of adapters: kind, rank, targets, trigger words, base model.

use std::collections::BTreeMap;
use std::fmt;

use super::delta::{DeltaForm, MapDelta};
use super::maps::LinearMaps;
use crate::component::Component;
use crate::format::{Metadata, MetadataValue};

/// The kind of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// Two small matrices a map.
    Lora,
    /// The same with row norms.
    Dora,
    /// Products by elements.
    Loha,
    /// Kronecker products.
    Lokr,
    /// Whole differences.
    Difference,
}

/// What lists say of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterDescription {
    /// The kind of most of its changes.
    pub kind: AdapterKind,
    /// The largest rank; none where nothing is a product.
    pub rank: Option<u32>,
    /// How many maps it changes, and how many there are: of the transformer and of the text encoder.
    pub targets: [(usize, usize); 2],
    /// The words that the adapter was trained with.
    pub trigger_words: Vec<String>,
    /// The model that it was trained for, in the words of its trainer.
    pub base_model: Option<String>,
    /// Its title, in the words of its trainer.
    pub title: Option<String>,
    /// Bytes of its file.
    pub bytes: u64,
    /// What is worth a line.
    pub remarks: Vec<String>,
}

/// The most trigger words that are told.
const WORDS: usize = 8;
/// The longest text that is told.
const TEXT: usize = 120;

impl AdapterDescription {
    pub(super) fn new(deltas: &[MapDelta], maps: &LinearMaps, metadata: &Metadata) -> Self {
        let count = |component| {
            let of = deltas.iter().filter(|delta| delta.component == component);
            (of.count(), maps.count(component))
        };
        let text = |key: &str| metadata.get(key).and_then(MetadataValue::text).and_then(told);
        let rank = deltas.iter().filter_map(|delta| delta.form.as_ref()?.rank()).max();
        Self {
            kind: kind(deltas),
            rank: rank.and_then(|rank| u32::try_from(rank).ok()),
            targets: [count(Component::Transformer), count(Component::TextEncoder)],
            trigger_words: trigger_words(metadata),
            base_model: [
                "modelspec.architecture",
                "ss_base_model_version",
                "base_model",
                "ss_sd_model_name",
            ]
            .iter()
            .find_map(|key| text(key)),
            title: ["modelspec.title", "ss_output_name", "name"].iter().find_map(|key| text(key)),
            bytes: 0,
            remarks: Vec::new(),
        }
    }
}

fn kind(deltas: &[MapDelta]) -> AdapterKind {
    let is =
        |form: fn(&DeltaForm) -> bool| deltas.iter().any(|d| d.form.as_ref().is_some_and(form));
    if is(|form| matches!(form, DeltaForm::Kronecker { .. })) {
        AdapterKind::Lokr
    } else if is(|form| matches!(form, DeltaForm::Hadamard { .. })) {
        AdapterKind::Loha
    } else if deltas.iter().any(|delta| delta.magnitude.is_some()) {
        AdapterKind::Dora
    } else if is(|form| matches!(form, DeltaForm::LowRank { .. })) {
        AdapterKind::Lora
    } else {
        AdapterKind::Difference
    }
}

/// One line of plain text, of bounded length; none if nothing is left.
fn told(text: &str) -> Option<String> {
    let line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT).collect();
    (!line.is_empty() && line != "None").then_some(line)
}

/// The words of a file: a trainer's field, or the most frequent tags of kohya's data set.
fn trigger_words(metadata: &Metadata) -> Vec<String> {
    const FIELDS: [&str; 5] = [
        "modelspec.trigger_phrase",
        "ss_trigger_words",
        "trigger_words",
        "trigger_word",
        "instance_prompt",
    ];
    let text = |key: &str| metadata.get(key).and_then(MetadataValue::text);
    if let Some(text) = FIELDS.iter().find_map(|field| text(field)) {
        let words = text.trim_matches(['[', ']']).split(',');
        let words = words.filter_map(|word| told(word.trim().trim_matches('"')));
        return words.take(WORDS).collect();
    }
    let Some(text) = text("ss_tag_frequency") else { return Vec::new() };
    let folders: BTreeMap<String, BTreeMap<String, u64>> =
        serde_json::from_str(text).unwrap_or_default();
    let mut tags: BTreeMap<String, u64> = BTreeMap::new();
    for (tag, count) in folders.into_values().flatten() {
        *tags.entry(tag.trim().to_owned()).or_default() += count;
    }
    let most = tags.values().copied().max().unwrap_or(0);
    // A trigger word is in nearly all captions.
    let mut tags: Vec<_> = tags.into_iter().filter(|(_, count)| count * 10 >= most * 9).collect();
    tags.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    tags.iter().filter_map(|(tag, _)| told(tag)).take(WORDS).collect()
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lora => "LoRA",
            Self::Dora => "DoRA",
            Self::Loha => "LoHa",
            Self::Lokr => "LoKr",
            Self::Difference => "difference",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(key: &str, text: &str) -> Vec<String> {
        trigger_words(&Metadata::from([(key.to_owned(), MetadataValue::Text(text.to_owned()))]))
    }

    #[test]
    fn trigger_words_are_those_of_the_trainer() {
        assert_eq!(words("trigger_word", "p1xel art"), ["p1xel art"]);
        assert_eq!(words("modelspec.trigger_phrase", "a, b\nc"), ["a", "b c"]);
        let tags = r#"{"10_x": {"sks dog": 20, "grass": 3, "photo": 19}}"#;
        assert_eq!(words("ss_tag_frequency", tags), ["sks dog", "photo"]);
        assert!(words("ss_tag_frequency", "{").is_empty() && words("other", "x").is_empty());
        assert_eq!(told(&"x".repeat(500)).unwrap().len(), TEXT);
    }
}
