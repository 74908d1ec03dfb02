//! The linear maps of a model by every spelling that adapter files have for them.
//!
//! A spelling is folded before it is looked up: dots become underscores, and what programs put before the
//! names is taken off, so that `diffusion_model.layers.0.attention.to_q` and
//! `lora_unet_layers_0_attention_to_q` are one.

use std::collections::BTreeMap;

use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::expected_tensors::Architecture;

/// What programs put before the names of maps, folded; any number of them, in any order.
const BEGINS: [&str; 15] = [
    "base_model_model_",
    "model_diffusion_model_",
    "diffusion_model_",
    "lora_transformer_",
    "lora_unet_",
    "lora_te1_",
    "lora_te_",
    "lycoris_",
    "transformer_",
    "text_encoders_",
    "text_encoder_",
    "qwen3_4b_",
    "unet_",
    "model_",
    "_",
];

/// A linear map, or the rows of it that a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) component: Component,
    /// The canonical name of the map: that of its weight without `.weight`.
    pub(super) map: String,
    /// `[outputs, inputs]`.
    pub(super) shape: [i64; 2],
}

/// What a spelling means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// One map; or several of the same inputs, whose rows are one above the other.
    Maps(&'a [Target]),
    /// A part of the model that is not computed, such as the text encoder's last layer.
    Unused,
    /// Nothing.
    Nothing,
}

/// The linear maps of a model.
#[derive(Clone, Debug)]
pub struct LinearMaps {
    by_spelling: BTreeMap<String, Vec<Target>>,
    /// Beginnings of names in the text encoder that are not computed, folded.
    unused: Vec<String>,
}

impl LinearMaps {
    /// Those of a checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let encoder = &checkpoint.text_encoder;
        let architectures = [
            (Component::Transformer, Architecture::transformer(&checkpoint.transformer)),
            (Component::TextEncoder, Architecture::text_encoder(encoder)),
        ];
        let mut maps = Self {
            by_spelling: BTreeMap::new(),
            unused: encoder.unused_prefixes().iter().map(|prefix| folded(prefix)).collect(),
        };
        for (component, architecture) in architectures {
            for tensor in architecture.tensors {
                let Some(map) = tensor.name.strip_suffix(".weight") else { continue };
                // The table of tokens is no linear map.
                if let [outputs, inputs] = tensor.shape[..]
                    && map != "embed_tokens"
                {
                    let target =
                        Target { component, map: map.to_owned(), shape: [outputs, inputs] };
                    maps.add(target);
                }
            }
        }
        maps
    }

    /// Adds a map by its name, its other names, and the names of maps that it is a part of.
    fn add(&mut self, target: Target) {
        let map = &target.map;
        let mut spellings = vec![map.clone()];
        for (begin, other) in
            [("all_x_embedder.", "x_embedder"), ("all_final_layer.", "final_layer.")]
        {
            // `all_x_embedder.2-1` has the size of patches in its name, which files leave out.
            if let Some(rest) = map.strip_prefix(begin) {
                let rest = rest.split_once('.').map_or("", |(_, rest)| rest);
                spellings.push(format!("{other}{rest}"));
            }
        }
        if let Some(block) = map.strip_suffix(".to_out.0") {
            spellings.extend([".out", ".to_out"].map(|end| format!("{block}{end}")));
        }
        if let Some(block) = map.strip_suffix(".feed_forward.w2") {
            spellings.push(format!("{block}.feed_forward.net.2"));
        }
        for spelling in spellings {
            self.by_spelling.insert(folded(&spelling), vec![target.clone()]);
        }
        // The rows of a fused map are queries, keys and values; or, in Wan2GP's names, values and gates.
        let fused = [
            (".attention.to_q", ".attention.qkv", 0),
            (".attention.to_k", ".attention.qkv", 1),
            (".attention.to_v", ".attention.qkv", 2),
            (".attention.to_q", ".attention.to_qkv", 0),
            (".attention.to_k", ".attention.to_qkv", 1),
            (".attention.to_v", ".attention.to_qkv", 2),
            (".feed_forward.w3", ".feed_forward.net.0.proj", 0),
            (".feed_forward.w1", ".feed_forward.net.0.proj", 1),
        ];
        for (end, whole, place) in fused {
            if let Some(block) = map.strip_suffix(end) {
                let parts = self.by_spelling.entry(folded(&format!("{block}{whole}"))).or_default();
                let place = parts.len().min(place);
                parts.insert(place, target.clone());
            }
        }
    }

    /// What a spelling means.
    pub(super) fn find(&self, spelling: &str) -> Found<'_> {
        let folded = folded(spelling);
        let mut rest = folded.as_str();
        // The text encoder's last layer: the transformer has fewer layers than that, or other names in it.
        let is_unused = |rest: &str| {
            let is_encoders =
                rest.contains("self_attn") || rest.contains("_mlp_") || rest == "lm_head";
            is_encoders && self.unused.iter().any(|begin| format!("{rest}_").starts_with(begin))
        };
        loop {
            if let Some(targets) = self.by_spelling.get(rest) {
                return Found::Maps(targets);
            }
            if is_unused(rest) {
                return Found::Unused;
            }
            match BEGINS.iter().find_map(|begin| rest.strip_prefix(begin)) {
                Some(shorter) => rest = shorter,
                None => return Found::Nothing,
            }
        }
    }

    /// The canonical names of all maps.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self
            .by_spelling
            .values()
            .filter(|targets| targets.len() == 1)
            .map(|targets| targets[0].map.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// The number of maps of a component.
    pub(super) fn count(&self, component: Component) -> usize {
        let mut maps: Vec<&str> = self
            .by_spelling
            .values()
            .flatten()
            .filter(|target| target.component == component)
            .map(|target| target.map.as_str())
            .collect();
        maps.sort_unstable();
        maps.dedup();
        maps.len()
    }
}

fn folded(spelling: &str) -> String {
    spelling.replace(['.', '-'], "_")
}
