//! `--json` events of a pull.

use serde::Serialize;

/// The field "event" and the fields that belong to it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum PullEvent<'a> {
    Fetching {
        done: u64,
        total: u64,
    },
    Retry {
        path: &'a str,
        message: &'a str,
        wait_ms: u64,
    },
    Fetched {
        path: &'a str,
        bytes: u64,
    },
    Pulled {
        path: String,
        model: String,
        text_encoder: Option<String>,
        vae: Option<String>,
        bytes: u64,
    },
    PulledLora {
        path: String,
        lora: &'a str,
        bytes: u64,
    },
}

/// A file that belongs to the pull.
#[derive(Serialize)]
#[serde(tag = "event", rename = "file")]
pub(crate) struct FileEvent<'a> {
    pub(crate) repository: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) path: &'a str,
    pub(crate) bytes: u64,
    /// Those that are in the cache already.
    pub(crate) cached: u64,
}
