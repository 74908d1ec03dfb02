//! The record layout of zimg 0.1, which is read and no longer written. It never changes.

use serde::Deserialize;
use zimage_params::Params;
use zimg_protocol::codec;
use zimg_protocol::messages::{Generate, ModelInfo, Priority, Started};

use super::record::{JobEnd, JobRecord, StoredImage};

/// A detached job, as version 1 of the store has it.
#[derive(Deserialize)]
pub(super) struct RecordV1 {
    uid: u32,
    submit: SubmitV1,
    accepted_unix_s: u64,
    started: Option<StartedV1>,
    #[serde(deserialize_with = "codec::as_they_come")]
    images: Vec<StoredImage>,
    end: Option<JobEnd>,
}

#[derive(Deserialize)]
struct SubmitV1 {
    draw: DrawV1,
    priority: Priority,
    detach: bool,
    previews: bool,
}

#[derive(Deserialize)]
struct DrawV1 {
    prompt: String,
    negative: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    steps: Option<u32>,
    guidance: Option<f32>,
    guidance_normalization: f32,
    guidance_truncation: f32,
    seed: u64,
    count: u32,
}

#[derive(Deserialize)]
struct StartedV1 {
    model: String,
    width: u32,
    height: u32,
    steps: u32,
    guidance: f32,
}

impl From<RecordV1> for JobRecord {
    fn from(old: RecordV1) -> Self {
        let RecordV1 { uid, submit, accepted_unix_s, started, images, end } = old;
        let SubmitV1 { draw, priority, detach, previews } = submit;
        let submit =
            Generate { params: draw.into(), priority, detach, previews, ..Generate::default() };
        let started = started.map(|started| {
            let StartedV1 { model, width, height, steps, guidance } = started;
            // Only its name was written.
            let model = ModelInfo { name: model, ..ModelInfo::default() };
            Started { model, width, height, steps, guidance }
        });
        Self { uid, submit, accepted_unix_s, started, images, end, inputs: Vec::new() }
    }
}

impl From<DrawV1> for Params {
    /// What version 1 always wrote is left open where it is the default, as clients do now.
    fn from(old: DrawV1) -> Self {
        let DrawV1 { prompt, negative, width, height, steps, guidance, .. } = old;
        Self {
            negative,
            width,
            height,
            steps,
            guidance,
            guidance_normalization: Some(old.guidance_normalization).filter(|n| *n != 0.0),
            guidance_truncation: Some(old.guidance_truncation).filter(|t| *t != 1.0),
            seed: Some(old.seed),
            count: Some(old.count),
            ..Self::new(prompt)
        }
    }
}
