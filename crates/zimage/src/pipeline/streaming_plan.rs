//! The streaming plan: which parts of a checkpoint's blocks are streamed, and the slot that they fit.

use std::collections::{BTreeMap, BTreeSet};

use tch::Kind;
use zimage_checkpoint::{BlockPart, is_streamed};

use crate::checkpoint::{Checkpoint, Component, TensorIndex};
use crate::error::Result;
use crate::options::Residency;
use crate::weights::{Form, PartName, bytes_in_slot, part_of};

/// The names of streamed parts, and the bytes of the largest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamingPlan {
    pub(super) transformer: BTreeSet<PartName>,
    pub(super) text_encoder: BTreeSet<PartName>,
    /// Bytes of the matrices of the largest part.
    pub(super) slot_bytes: usize,
    /// Slots of the ring.
    pub(super) slots: usize,
}

impl StreamingPlan {
    /// The plan for matrices of `kind`, those of the transformer in this form.
    ///
    /// # Errors
    /// When the header of a file is damaged.
    pub(super) fn new(
        checkpoint: &Checkpoint,
        (residency, form): (Residency, Form),
        kind: Kind,
    ) -> Result<Self> {
        let Residency::Part { denoising_parts, text_parts, slots } = residency else {
            return Ok(Self::default());
        };
        let config = &checkpoint.transformer;
        let parts = |group: &str, count: i64| {
            let blocks = (0..count).map(|i| format!("{group}.{i}"));
            let parts = |block: String| BlockPart::ALL.map(|part| (block.clone(), part));
            blocks.flat_map(parts).collect::<Vec<_>>()
        };
        let mut plan = Self { slots: slots as usize, ..Self::default() };
        // In the order of their use, across components.
        let refiners = config.n_refiner_layers;
        let denoising =
            [parts("noise_refiner", refiners), parts("layers", config.n_layers)].concat();
        plan.transformer.extend(streamed(denoising, denoising_parts));
        let layers = parts("layers", checkpoint.text_encoder.used_layers());
        let text = layers.into_iter().map(|part| (false, part));
        let refiner = parts("context_refiner", refiners).into_iter().map(|part| (true, part));
        for (in_transformer, part) in streamed(text.chain(refiner).collect(), text_parts) {
            let component =
                if in_transformer { &mut plan.transformer } else { &mut plan.text_encoder };
            component.insert(part);
        }
        for (component, parts, form) in [
            (Component::Transformer, &plan.transformer, form),
            (Component::TextEncoder, &plan.text_encoder, form.of_text()),
        ] {
            if parts.is_empty() {
                continue;
            }
            let index = checkpoint.tensor_index(component)?;
            plan.slot_bytes = plan.slot_bytes.max(largest_part(&index, parts, form, kind));
        }
        Ok(plan)
    }

    /// Whether any part is streamed.
    pub(super) fn streams(&self) -> bool {
        self.slot_bytes > 0
    }
}

/// Those of the parts that are streamed, where so many stay.
fn streamed<T>(parts: Vec<T>, resident: u32) -> impl Iterator<Item = T> {
    let count = parts.len();
    let parts = parts.into_iter().enumerate();
    parts.filter(move |(i, _)| is_streamed(*i, count, resident)).map(|(_, name)| name)
}

/// The most bytes that the matrices of one of these parts take in a slot.
pub(super) fn largest_part(
    index: &TensorIndex,
    parts: &BTreeSet<PartName>,
    form: Form,
    kind: Kind,
) -> usize {
    let mut bytes: BTreeMap<PartName, usize> = BTreeMap::new();
    for (name, (_, stored)) in &index.tensors {
        if let Some((block, part)) = part_of(name) {
            let of_matrix = bytes_in_slot(&block, stored, form, kind);
            *bytes.entry((block, part)).or_default() += of_matrix;
        }
    }
    parts.iter().filter_map(|part| bytes.get(part)).copied().max().unwrap_or(0)
}
