//! The structure of a ControlNet: how many blocks there are, and where their hints are added.

use std::fmt;

use serde::Deserialize;

use crate::config::TransformerConfig;
use crate::tensor_index::TensorIndex;

/// What computes the control image's tokens before the layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRefiner {
    /// Blocks of its own that see the control image alone (Union, the first).
    Plain(i64),
    /// The layers themselves, a first time (Union 2.0), with hints for these refiners of the model.
    Layers(Vec<usize>),
    /// Control blocks of its own (Union 2.1), with hints for these refiners of the model.
    Own(Vec<usize>),
}

/// The blocks of a ControlNet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlStructure {
    /// The model's layers that hints are added to, ascending: one for each control layer.
    pub places: Vec<usize>,
    /// What comes before the layers.
    pub refiner: ControlRefiner,
    /// Channels of the control latents, those of a mask and a masked image included.
    pub channels: i64,
    /// Channels of the model's latents.
    latents: i64,
    /// The model's layers.
    layers: i64,
}

/// What diffusers' config.json says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ControlConfig {
    control_layers_places: Option<Vec<usize>>,
    control_refiner_layers_places: Option<Vec<usize>>,
    add_control_noise_refiner: Option<String>,
}

impl ControlStructure {
    /// The structure that the tensors have, where `has_own_refiner` says whether the refiner's first
    /// projection is there and is not zero; places are those of the configuration, if there is one. The
    /// error says what is impossible.
    pub(super) fn of(
        index: &TensorIndex,
        config: Option<&ControlConfig>,
        model: &TransformerConfig,
        (width, has_own_refiner): (i64, bool),
    ) -> Result<Self, String> {
        let count = |group: &str| {
            let there = |i: &usize| index.tensors.contains_key(&mark(group, *i));
            (0..).take_while(there).count()
        };
        let (layers, refiners) = (count(LAYERS), count(REFINER));
        let patch = model.patch_size().pow(2);
        if layers == 0 || layers as i64 > model.n_layers {
            return Err(format!(
                "it has {layers} control layers, expected 1 to {}, the model's layers",
                model.n_layers
            ));
        }
        let channels = width / patch;
        if width % patch != 0 || channels < model.in_channels {
            return Err(format!(
                "its embedder takes {width} numbers a token, expected a multiple of {patch} from {} on",
                patch * model.in_channels
            ));
        }
        let is_first = channels == model.in_channels;
        let named = config.and_then(|config| config.add_control_noise_refiner.as_deref());
        let hinted = |count: usize| match config {
            Some(ControlConfig { control_refiner_layers_places: Some(places), .. }) => {
                places.clone()
            }
            _ => (0..count).collect(),
        };
        let own = hinted(refiners);
        // Of the layers, only as many hints are used as the model has refiners.
        let shared = hinted(usize::try_from(model.n_refiner_layers).unwrap_or(0).min(layers));
        let refiner = match (named, config) {
            (Some("control_layers"), _) => ControlRefiner::Layers(shared),
            (Some("control_noise_refiner"), _) => ControlRefiner::Own(own),
            (Some(other), _) => {
                return Err(format!(
                    "its add_control_noise_refiner is {other:?}, expected \"control_layers\" or \
                     \"control_noise_refiner\""
                ));
            }
            (None, Some(_)) => ControlRefiner::Plain(refiners as i64),
            (None, None) if has_own_refiner => ControlRefiner::Own(own),
            (None, None) if is_first => ControlRefiner::Plain(refiners as i64),
            (None, None) => ControlRefiner::Layers(shared),
        };
        // Spread evenly over the model's layers: every fifth, second and tenth of 30 for 6, 15 and 3.
        let stride = (model.n_layers as usize / layers).max(1);
        let places = match config {
            Some(ControlConfig { control_layers_places: Some(places), .. }) => places.clone(),
            _ => (0..layers).map(|i| i * stride).collect(),
        };
        check("layers", &places, layers, model.n_layers)?;
        let (latents, all) = (model.in_channels, model.n_layers);
        match &refiner {
            ControlRefiner::Plain(_) => {}
            ControlRefiner::Layers(at) => {
                check("refiners", at, at.len().min(layers), model.n_refiner_layers)?;
            }
            ControlRefiner::Own(at) => {
                check("refiners", at, refiners, model.n_refiner_layers)?;
            }
        }
        Ok(Self { places, refiner, channels, latents, layers: all })
    }

    /// Whether it is told what a mask preserves: its latents have a mask and a masked image beside.
    pub fn fills_masks(&self) -> bool {
        self.channels == 2 * self.latents + 1
    }

    /// Control blocks that a step computes, those that run twice counted twice.
    pub fn blocks(&self) -> usize {
        self.places.len()
            + match &self.refiner {
                ControlRefiner::Plain(count) => *count as usize,
                ControlRefiner::Layers(_) => self.places.len(),
                ControlRefiner::Own(at) => at.len(),
            }
    }

    /// The names of its blocks in the order of their use, without the last dot.
    pub fn block_names(&self) -> Vec<String> {
        let refiners = match &self.refiner {
            ControlRefiner::Plain(count) => *count as usize,
            ControlRefiner::Layers(_) => 0,
            ControlRefiner::Own(at) => at.len(),
        };
        let names = |group, count| (0..count).map(move |i| format!("{group}.{i}"));
        names(REFINER, refiners).chain(names(LAYERS, self.places.len())).collect()
    }
}

impl fmt::Display for ControlStructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.refiner {
            ControlRefiner::Plain(_) => "Union 1",
            ControlRefiner::Layers(_) => "Union 2.0",
            // The published one has half as many layers as the model, and its lite version a tenth.
            ControlRefiner::Own(_) if self.places.len() as i64 * 5 < self.layers => {
                "Union 2.1 lite"
            }
            ControlRefiner::Own(_) => "Union 2.1",
        })
    }
}

/// The group of the layers.
pub(super) const LAYERS: &str = "control_layers";
/// The group of the refiners.
pub(super) const REFINER: &str = "control_noise_refiner";

/// A tensor that every block has.
fn mark(group: &str, number: usize) -> String {
    format!("{group}.{number}.adaLN_modulation.0.weight")
}

/// Whether places are so many, ascending from 0, of those that the model has.
fn check(what: &str, places: &[usize], count: usize, model: i64) -> Result<(), String> {
    let ascend = places.windows(2).all(|pair| pair[0] < pair[1]);
    let fits = places.last().is_none_or(|last| (*last as i64) < model);
    if places.len() != count || !ascend || !fits || (what == "layers" && places[0] != 0) {
        return Err(format!(
            "its hints go to the {what} {places:?}, expected {count} of {model} in ascending order"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Component;
    use crate::encoding::{Encoding, Number};
    use crate::stored_tensor::StoredTensor;

    fn index(layers: usize, refiners: usize) -> TensorIndex {
        let mut index = TensorIndex::new("a test".into(), Component::Transformer);
        let stored = StoredTensor {
            encoding: Encoding::Plain(Number::Bf16),
            shape: vec![4, 4],
            offset: 0,
            bytes: 32,
            first_row: 0,
            companions: Vec::new(),
        };
        for (group, count) in [(LAYERS, layers), (REFINER, refiners)] {
            for i in 0..count {
                index.insert(mark(group, i), (0, stored.clone())).unwrap();
            }
        }
        index
    }

    /// Layers, refiners, channels, and whether these have a first projection: the published files.
    #[test]
    fn the_published_files_are_told_apart_by_their_tensors() {
        let model = TransformerConfig::default();
        for (facts, name, places, refiner, blocks) in [
            ((6, 2, 16, false), "Union 1", (0..30).step_by(5), ControlRefiner::Plain(2), 8),
            (
                (15, 2, 33, false),
                "Union 2.0",
                (0..30).step_by(2),
                ControlRefiner::Layers(vec![0, 1]),
                30,
            ),
            (
                (15, 2, 33, true),
                "Union 2.1",
                (0..30).step_by(2),
                ControlRefiner::Own(vec![0, 1]),
                17,
            ),
            (
                (3, 2, 33, true),
                "Union 2.1 lite",
                (0..30).step_by(10),
                ControlRefiner::Own(vec![0, 1]),
                5,
            ),
        ] {
            let (layers, refiners, channels, has_own) = facts;
            let facts = (4 * channels, has_own);
            let found =
                ControlStructure::of(&index(layers, refiners), None, &model, facts).unwrap();
            assert_eq!((found.to_string(), &found.refiner), (name.to_owned(), &refiner));
            assert_eq!(found.places, places.collect::<Vec<_>>());
            assert_eq!((found.fills_masks(), found.blocks()), (channels == 33, blocks));
        }
    }

    #[test]
    fn diffusers_configuration_comes_before_what_is_guessed() {
        let model = TransformerConfig::default();
        let config = |json: &str| serde_json::from_str::<ControlConfig>(json).unwrap();
        let of = |json: &str| {
            ControlStructure::of(&index(3, 2), Some(&config(json)), &model, (4 * 33, false))
        };
        let found = of(
            r#"{"control_layers_places": [0, 7, 29], "add_control_noise_refiner": "control_layers",
                           "control_refiner_layers_places": [1]}"#,
        );
        let found = found.unwrap();
        assert_eq!(found.places, [0, 7, 29]);
        assert_eq!(found.refiner, ControlRefiner::Layers(vec![1]));
        let plain = of(r#"{"add_control_noise_refiner": null}"#).unwrap();
        assert_eq!(plain.refiner, ControlRefiner::Plain(2));
        for (json, said) in [
            (r#"{"control_layers_places": [0, 7]}"#, "[0, 7], expected 3 of 30"),
            (r#"{"control_layers_places": [1, 7, 9]}"#, "[1, 7, 9]"),
            (r#"{"control_layers_places": [0, 7, 30]}"#, "[0, 7, 30]"),
            (r#"{"control_layers_places": [0, 9, 7]}"#, "[0, 9, 7]"),
            (r#"{"add_control_noise_refiner": "other"}"#, "\"other\""),
        ] {
            let error = of(json).unwrap_err();
            assert!(error.contains(said), "{json}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let model = TransformerConfig::default();
        for (layers, width, said) in [
            (0, 64, "it has 0 control layers, expected 1 to 30"),
            (31, 64, "it has 31 control layers"),
            (6, 60, "takes 60 numbers a token, expected a multiple of 4 from 64 on"),
            (6, 66, "takes 66 numbers"),
        ] {
            let error = ControlStructure::of(&index(layers, 2), None, &model, (width, false));
            let error = error.unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
