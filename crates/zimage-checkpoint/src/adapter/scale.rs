//! Scales of adapters: alpha and rank, from a file's tensors, its metadata, or the configuration beside it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::format::{Metadata, MetadataValue};

/// peft's `adapter_config.json`, or the same in a file's metadata, in which diffusers writes it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct PeftConfig {
    r: Option<f64>,
    lora_alpha: Option<f64>,
    alpha: Option<f64>,
    use_rslora: Option<bool>,
    rank_pattern: Option<BTreeMap<String, f64>>,
    alpha_pattern: Option<BTreeMap<String, f64>>,
    base_model_name_or_path: Option<String>,
}

/// How scales follow from alphas and ranks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scales {
    config: PeftConfig,
    /// Whether alpha is divided by the root of the rank (rs-LoRA).
    rooted: bool,
}

/// The key in which diffusers' `save_lora_weights` writes peft's configuration.
const DIFFUSERS: &str = "lora_adapter_metadata";

impl Scales {
    /// From a file's metadata, and the configuration beside it if there is one.
    pub(super) fn new(metadata: &Metadata, beside: Option<PeftConfig>) -> Self {
        let text = |key: &str| metadata.get(key).and_then(MetadataValue::text);
        let config = beside.or_else(|| text(DIFFUSERS).and_then(of_diffusers)).unwrap_or_default();
        // kohya's and LyCORIS' arguments: `{"rs_lora": "True"}`.
        let argued = text("ss_network_args").is_some_and(|args| {
            let args = args.to_lowercase().replace([' ', '"'], "");
            args.contains("rs_lora:true") || args.contains("rslora:true")
        });
        Self { rooted: argued || config.use_rslora == Some(true), config }
    }

    /// The base model in peft's configuration.
    pub(super) fn base_model(&self) -> Option<String> {
        self.config.base_model_name_or_path.clone()
    }

    /// The scale of a map's change; `alpha` is the file's tensor, `rank` that of its products, if there
    /// are any.
    pub(super) fn of(&self, map: &str, alpha: Option<f64>, rank: Option<i64>) -> f64 {
        let config = &self.config;
        let of = |pattern: &Option<BTreeMap<String, f64>>| {
            let found = pattern.iter().flatten().find(|(end, _)| is_end(map, end));
            found.map(|(_, value)| *value)
        };
        let divisor = |rank: f64| if self.rooted { rank.sqrt() } else { rank };
        let rank = rank.map(|rank| rank as f64);
        match (alpha, rank) {
            (Some(alpha), Some(rank)) if rank > 0.0 => return alpha / divisor(rank),
            // LyCORIS: without a product there is no rank, and alpha counts for nothing.
            (Some(_), _) => return 1.0,
            (None, _) => {}
        }
        // peft's LoKr is scaled by the configured rank also where nothing is decomposed.
        let alpha = of(&config.alpha_pattern).or(config.lora_alpha).or(config.alpha);
        let configured = of(&config.rank_pattern).or(config.r);
        match (alpha, rank.or(configured)) {
            (Some(alpha), Some(rank)) if rank > 0.0 => alpha / divisor(rank),
            _ => 1.0,
        }
    }
}

/// Whether a pattern of peft names this map: it is the end of its name.
fn is_end(map: &str, end: &str) -> bool {
    let end = end.trim_start_matches('^').trim_end_matches('$').replace("\\.", ".");
    map == end || map.strip_suffix(&end).is_some_and(|begin| begin.ends_with('.'))
}

/// `{"transformer.r": 8, "transformer.lora_alpha": 16, …}`
fn of_diffusers(text: &str) -> Option<PeftConfig> {
    let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let config = all
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("transformer.")?.to_owned(), value)));
    serde_json::from_value(config.collect::<serde_json::Map<_, _>>().into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(key: &str, text: &str) -> Metadata {
        Metadata::from([(key.to_owned(), MetadataValue::Text(text.to_owned()))])
    }

    #[test]
    fn scales_follow_from_alpha_and_rank_wherever_they_are_written() {
        let none = Metadata::new();
        let diffusers = metadata(
            DIFFUSERS,
            r#"{"transformer.r": 8, "transformer.lora_alpha": 4,
                "transformer.alpha_pattern": {"layers.1.attention.to_q": 16}}"#,
        );
        let rooted = metadata("ss_network_args", r#"{"rs_lora": "True", "algo": "lora"}"#);
        for (metadata, map, alpha, rank, scale) in [
            (&none, "x", None, Some(16), 1.0),
            (&none, "x", Some(8.0), Some(16), 0.5),
            (&none, "x", Some(8.0), None, 1.0),
            (&none, "x", Some(8.0), Some(0), 1.0),
            (&diffusers, "layers.0.attention.to_q", None, Some(8), 0.5),
            (&diffusers, "layers.1.attention.to_q", None, Some(8), 2.0),
            (&diffusers, "layers.0.attention.to_q", Some(16.0), Some(8), 2.0),
            (&diffusers, "x", None, None, 0.5),
            (&rooted, "x", Some(8.0), Some(16), 2.0),
        ] {
            assert_eq!(Scales::new(metadata, None).of(map, alpha, rank), scale, "{map} {alpha:?}");
        }
        let config = PeftConfig {
            r: Some(4.0),
            lora_alpha: Some(8.0),
            use_rslora: Some(true),
            ..PeftConfig::default()
        };
        assert_eq!(Scales::new(&none, Some(config)).of("x", None, Some(4)), 4.0);
    }
}
