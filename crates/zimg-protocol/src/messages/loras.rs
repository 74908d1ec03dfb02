//! LoRAs that a request can name, as the worker finds them.

use serde::{Deserialize, Serialize};

use crate::codec;

/// The LoRAs in the daemon's directories. Since minor version 4.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loras {
    /// By name.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub loras: Vec<LoraInfo>,
    /// What is wrong with directories.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub remarks: Vec<String>,
}

/// A file in these directories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoraInfo {
    /// The name by which a request asks for it.
    pub name: String,
    /// "LoRA", "DoRA", "LoHa", "LoKr" or "difference"; empty if it cannot be used.
    pub kind: String,
    /// The rank, if it has one.
    pub rank: Option<u32>,
    /// The linear maps of the transformer that it changes.
    pub maps: u32,
    /// Those that the transformer has.
    pub all_maps: u32,
    /// The linear maps of the text encoder that it changes.
    pub text_maps: u32,
    /// Those that the text encoder has.
    pub all_text_maps: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// The words that it was trained with.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub trigger_words: Vec<String>,
    /// The model that it was trained for, in its trainer's words.
    pub base_model: Option<String>,
    /// Its title, in its trainer's words.
    pub title: Option<String>,
    /// What is worth a line.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub remarks: Vec<String>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}
