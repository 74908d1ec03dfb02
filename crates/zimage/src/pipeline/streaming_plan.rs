//! The streaming plan: which blocks of a checkpoint are streamed, and the slot that their parts fit.

use std::collections::{BTreeMap, BTreeSet};

use tch::Kind;
use zimage_checkpoint::{is_block_matrix, is_streamed};

use crate::checkpoint::{Checkpoint, Component, TensorIndex};
use crate::error::Result;
use crate::options::Residency;
use crate::weights::{Form, bytes_in_slot};

/// The names of streamed blocks, and the bytes of their largest part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamingPlan {
    pub(super) transformer: BTreeSet<String>,
    pub(super) text_encoder: BTreeSet<String>,
    /// Bytes of the matrices of the largest part, an attention or a feed-forward.
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
        let Residency::Part { denoising_blocks, text_blocks, slots } = residency else {
            return Ok(Self::default());
        };
        let config = &checkpoint.transformer;
        let names = |group: &str, count: i64| {
            (0..count).map(|i| format!("{group}.{i}")).collect::<Vec<_>>()
        };
        let mut plan = Self { slots: slots as usize, ..Self::default() };
        // In the order of their use, across components.
        let refiners = config.n_refiner_layers;
        let denoising =
            [names("noise_refiner", refiners), names("layers", config.n_layers)].concat();
        plan.transformer.extend(streamed(denoising, denoising_blocks));
        let layers = checkpoint.text_encoder.used_layers();
        let text = (0..layers).map(|i| (false, format!("layers.{i}")));
        let refiner = names("context_refiner", refiners).into_iter().map(|name| (true, name));
        for (in_transformer, name) in streamed(text.chain(refiner).collect(), text_blocks) {
            let component =
                if in_transformer { &mut plan.transformer } else { &mut plan.text_encoder };
            component.insert(name);
        }
        for (component, blocks, form) in [
            (Component::Transformer, &plan.transformer, form),
            (Component::TextEncoder, &plan.text_encoder, form.of_text()),
        ] {
            if blocks.is_empty() {
                continue;
            }
            let index = checkpoint.tensor_index(component)?;
            let sizes = blocks.iter().map(|block| part_bytes(&index, block, form, kind));
            plan.slot_bytes = plan.slot_bytes.max(sizes.max().unwrap_or(0));
        }
        Ok(plan)
    }

    /// Whether any block is streamed.
    pub(super) fn streams(&self) -> bool {
        self.slot_bytes > 0
    }
}

/// Those of the blocks that are streamed, where so many stay.
fn streamed<T>(blocks: Vec<T>, resident: u32) -> impl Iterator<Item = T> {
    let count = blocks.len();
    let blocks = blocks.into_iter().enumerate();
    blocks.filter(move |(i, _)| is_streamed(*i, count, resident)).map(|(_, name)| name)
}

/// The most bytes that the matrices of a block's attention, or of its feed-forward, take in a slot.
pub(super) fn part_bytes(index: &TensorIndex, block: &str, form: Form, kind: Kind) -> usize {
    let mut parts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, (_, stored)) in &index.tensors {
        let rest = name.strip_prefix(block).and_then(|rest| rest.strip_prefix('.'));
        if let Some((part, _)) =
            rest.filter(|rest| is_block_matrix(rest)).and_then(|r| r.split_once('.'))
        {
            *parts.entry(part).or_default() += bytes_in_slot(block, stored, form, kind);
        }
    }
    parts.into_values().max().unwrap_or(0)
}
