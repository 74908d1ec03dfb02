//! The streaming plan: which blocks of a checkpoint are streamed, and the slot that their parts fit.

use std::collections::{BTreeMap, BTreeSet};

use tch::Kind;
use zimage_checkpoint::is_block_matrix;

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
        let Residency::Part { denoising_blocks, text_encoder, slots } = residency else {
            return Ok(Self::default());
        };
        let config = &checkpoint.transformer;
        let names = |group: &str, count: i64| {
            (0..count).map(|i| format!("{group}.{i}")).collect::<Vec<_>>()
        };
        let mut denoising = names("noise_refiner", config.n_refiner_layers);
        denoising.extend(names("layers", config.n_layers));
        let mut plan = Self {
            transformer: spread(denoising, denoising_blocks as usize),
            slots: slots as usize,
            ..Self::default()
        };
        if !text_encoder {
            plan.transformer.extend(names("context_refiner", config.n_refiner_layers));
            plan.text_encoder.extend(names("layers", checkpoint.text_encoder.used_layers()));
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

/// All but `resident` of the blocks: those that stay are spread evenly.
fn spread(blocks: Vec<String>, resident: usize) -> BTreeSet<String> {
    let count = blocks.len();
    let streamed = count.saturating_sub(resident);
    let is_streamed = |i: usize| (i + 1) * streamed / count > i * streamed / count;
    blocks.into_iter().enumerate().filter(|(i, _)| is_streamed(*i)).map(|(_, name)| name).collect()
}

/// The most bytes that the matrices of a block's attention, or of its feed-forward, take in a slot.
fn part_bytes(index: &TensorIndex, block: &str, form: Form, kind: Kind) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_blocks_lie_between_streamed_ones() {
        let streamed = |count: usize, resident| -> Vec<usize> {
            let names: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let mut chosen: Vec<usize> =
                spread(names, resident).iter().map(|name| name.parse().unwrap()).collect();
            chosen.sort_unstable();
            chosen
        };
        assert!(streamed(4, 4).is_empty() && streamed(4, 9).is_empty());
        assert_eq!(streamed(4, 0), [0, 1, 2, 3]);
        assert_eq!(streamed(6, 3), [1, 3, 5]);
        assert_eq!(streamed(8, 6), [3, 7]);
        for resident in 0..=32 {
            let chosen = streamed(32, resident);
            assert_eq!(chosen.len(), 32 - resident);
            let gaps: Vec<usize> = chosen.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let extremes = gaps.iter().min().zip(gaps.iter().max());
            assert!(extremes.is_none_or(|(least, most)| most - least <= 1), "{chosen:?}");
        }
    }
}
