//! The inventory of a checkpoint: its layout and kind, and of each component the file, the size and
//! the number formats.

use std::collections::BTreeMap;
use std::fmt;

use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::error::Result;
use crate::kind::KindFinding;
use crate::layout::LayoutKind;
use crate::tensor_index::TensorIndex;

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The form in which it was found.
    pub layout: LayoutKind,
    /// Turbo or the base model.
    pub kind: KindFinding,
    /// The components that have weights.
    pub components: Vec<ComponentInventory>,
    /// What messages call the tokenizer's file.
    pub tokenizer: String,
    /// What is worth a line in the log: choices, variants, leftovers.
    pub remarks: Vec<String>,
}

/// The weights of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentInventory {
    /// Which one.
    pub component: Component,
    /// Its folder or file.
    pub place: String,
    /// Files of weights.
    pub files: usize,
    /// Bytes of its tensors in them.
    pub bytes: u64,
    /// Numbers in its tensors.
    pub parameters: u64,
    /// Number formats, and how many bytes are stored in each; the largest first.
    pub formats: Vec<(String, u64)>,
}

impl Inventory {
    /// Without components.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Self {
        let mut remarks = checkpoint.choices().to_vec();
        if let Some(title) = checkpoint.text_encoder_title().filter(|title| is_another(title)) {
            remarks.push(format!(
                "the text encoder is {title}, and Z-Image was trained with Qwen3-4B: images differ"
            ));
        }
        let (shift, kind) = (checkpoint.scheduler.shift, checkpoint.kind.kind);
        if shift != kind.shift() {
            let usual = kind.shift();
            remarks.push(format!("the schedule's shift is {shift}, where {kind} has {usual}"));
        }
        Self {
            layout: checkpoint.layout(),
            kind: checkpoint.kind.clone(),
            components: Vec::new(),
            tokenizer: checkpoint.tokenizer_file(),
            remarks,
        }
    }

    /// Adds a component whose headers are read.
    pub(crate) fn add(&mut self, index: &TensorIndex) {
        self.components.push(ComponentInventory::of(index));
        self.remarks.extend(index.remarks.iter().cloned());
    }

    /// Files of weights.
    pub fn files(&self) -> usize {
        match self.layout {
            LayoutKind::AllInOne => 1,
            _ => self.components.iter().map(|component| component.files).sum(),
        }
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> u64 {
        self.components.iter().map(|component| component.bytes).sum()
    }

    /// Numbers in the weights.
    pub fn parameters(&self) -> u64 {
        self.components.iter().map(|component| component.parameters).sum()
    }

    /// Layout and kind, one line for each component, the tokenizer, the memory, then the remarks.
    pub fn lines(&self) -> Vec<String> {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let mut lines = vec![format!("layout: {}", self.layout), format!("kind: {}", self.kind)];
        for component in &self.components {
            let files = match component.files {
                1 => String::new(),
                files => format!(", {files} files"),
            };
            let formats: Vec<&str> =
                component.formats.iter().map(|(name, _)| name.as_str()).collect();
            lines.push(format!(
                "{}: {}{files}, {:.2} GB, {:.2} billion parameters as {}",
                component.component,
                component.place,
                gigabytes(component.bytes),
                component.parameters as f64 / 1e9,
                formats.join(", ")
            ));
        }
        lines.push(format!("tokenizer: {}", self.tokenizer));
        let memory = gigabytes(2 * self.parameters());
        lines.push(format!("memory: {memory:.1} GB of weights as bfloat16"));
        lines.extend(self.remarks.iter().cloned());
        // Names of files may have line breaks, which would begin a line of their own.
        lines.iter().map(|line| line.replace(char::is_control, "\u{fffd}")).collect()
    }
}

impl ComponentInventory {
    /// Of a component whose headers are read.
    fn of(index: &TensorIndex) -> Self {
        let mut formats: BTreeMap<String, u64> = BTreeMap::new();
        let (mut bytes, mut parameters) = (0, 0);
        for (_, stored) in index.tensors.values() {
            *formats.entry(stored.encoding.to_string()).or_default() += stored.bytes;
            bytes += stored.bytes;
            parameters += stored.numbers();
        }
        let mut formats: Vec<_> = formats.into_iter().collect();
        formats.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let (component, files) = (index.component, index.files.len());
        Self { component, place: index.place.clone(), files, bytes, parameters, formats }
    }
}

impl fmt::Display for LayoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Diffusers => "a diffusers folder",
            Self::ComfyUi => "ComfyUI's folders",
            Self::Files => "files of weights",
            Self::AllInOne => "all in one file",
        })
    }
}

impl Checkpoint {
    /// The inventory. Reads headers, no tensors.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn inventory(&self) -> Result<Inventory> {
        let mut inventory = Inventory::of(self);
        for component in Component::ALL {
            inventory.add(&self.tensor_index(component)?);
        }
        Ok(inventory)
    }
}

/// Whether a title is that of another Qwen3-4B than the one that the model was trained with.
fn is_another(title: &str) -> bool {
    let title = title.to_lowercase().replace([' ', '_'], "-");
    ["2507", "instruct", "thinking", "coder", "base"].iter().any(|word| title.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_text_encoders_are_told_by_their_title() {
        for (title, other) in [
            ("Qwen3-4B-Instruct-2507", true),
            ("Qwen3 4B Thinking 2507", true),
            ("Qwen3-4B", false),
            ("Qwen3 4B", false),
            ("qwen_3_4b", false),
        ] {
            assert_eq!(is_another(title), other, "{title}");
        }
    }
}
