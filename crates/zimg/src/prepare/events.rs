//! `--json` events of `zimg prepare`.

use serde::Serialize;

use crate::json::PathFields;

/// Progress, in bytes written or compared.
#[derive(Serialize)]
#[serde(tag = "event", rename = "preparing")]
pub(super) struct PreparingEvent {
    pub(super) done: u64,
    pub(super) total: u64,
}

/// A file that was written.
#[derive(Serialize)]
#[serde(tag = "event", rename = "prepared")]
pub(crate) struct PreparedEvent<'a> {
    #[serde(flatten)]
    pub(crate) path: PathFields,
    pub(crate) origin: &'a str,
    pub(crate) dtype: &'a str,
    pub(crate) text_encoder_dtype: &'a str,
    pub(crate) tensors: usize,
    pub(crate) bytes: u64,
    pub(crate) checksum: &'a str,
}

/// A file whose checksums are right.
#[derive(Serialize)]
#[serde(tag = "event", rename = "verified")]
pub(crate) struct VerifiedEvent<'a> {
    #[serde(flatten)]
    pub(crate) path: PathFields,
    pub(crate) origin: &'a str,
    pub(crate) dtype: &'a str,
    pub(crate) tensors: usize,
    pub(crate) bytes: u64,
    pub(crate) checksum: &'a str,
}
