//! Events of jobs as the page gets them: names, JSON, and frames of server-sent events.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use zimg_client::{Failure, JobId, Timings};

use crate::problem::Problem;
use crate::waiting::WaitingFields;

/// What happened to a job. The field names are those of `zimg --json`; images count from 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum JobEvent {
    Accepted { position: u32 },
    Waiting(WaitingFields),
    Started { model: String, width: u32, height: u32, steps: u32, guidance: f32 },
    Step { image: u64, step: u32, of: u32, ms: Option<f32>, eta_ms: Option<u64> },
    Preview { image: u64, step: u32, width: u32, height: u32, webp: String },
    Decoding { image: u64 },
    Image { image: u64, id: String, seed: String, width: u32, height: u32 },
    Resumed { image: u64, step: u32 },
    Done { ms: Option<Milliseconds> },
    Failed(FailureFields),
    Removed {},
    Status(Value),
    Reset {},
}

/// A failure of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FailureFields {
    kind: &'static str,
    message: String,
    hint: Option<String>,
}

/// Where a job's time went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Milliseconds {
    queued: f32,
    text: f32,
    steps: f32,
    decode: f32,
    total: f32,
}

impl JobEvent {
    /// A preview's event.
    pub(super) fn preview(preview: &zimg_client::Preview, webp: &[u8]) -> Self {
        Self::Preview {
            image: from_one(preview.image),
            step: preview.step,
            width: preview.width,
            height: preview.height,
            webp: STANDARD.encode(webp),
        }
    }

    pub(super) fn is_preview(&self) -> bool {
        matches!(self, Self::Preview { .. })
    }

    /// Whether nothing comes after it.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed(_) | Self::Removed {})
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Waiting(_) => "waiting",
            Self::Started { .. } => "started",
            Self::Step { .. } => "step",
            Self::Preview { .. } => "preview",
            Self::Decoding { .. } => "decoding",
            Self::Image { .. } => "image",
            Self::Resumed { .. } => "resumed",
            Self::Done { .. } => "done",
            Self::Failed(_) => "failed",
            Self::Removed {} => "removed",
            Self::Status(_) => "status",
            Self::Reset {} => "reset",
        }
    }

    /// The event's lines; `id` is its epoch and number.
    pub(super) fn frame(&self, job: Option<JobId>, id: Option<(&str, u64)>) -> Bytes {
        #[derive(Serialize)]
        struct Data<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            job: Option<String>,
            #[serde(flatten)]
            event: &'a JobEvent,
        }
        let data = Data { job: job.map(|job| job.to_string()), event: self };
        // Text and numbers alone: it cannot fail. JSON has no line ends outside of its strings, and
        // serde_json writes those inside as `\n`.
        let data = serde_json::to_string(&data).unwrap_or_default();
        let mut frame = String::with_capacity(data.len() + 64);
        if let Some((epoch, number)) = id {
            // Writing to a string cannot fail.
            let _ = writeln!(frame, "id: {epoch}-{number}");
        }
        let _ = write!(frame, "event: {}\ndata: {data}\n\n", self.name());
        frame.into()
    }
}

impl From<&Failure> for FailureFields {
    fn from(failure: &Failure) -> Self {
        let kind = Problem::from(failure.clone()).reason();
        Self { kind: kind.word(), message: failure.message.clone(), hint: failure.hint.clone() }
    }
}

impl From<Timings> for Milliseconds {
    fn from(timings: Timings) -> Self {
        let Timings { queued, text, steps, decode, total } = timings;
        Self { queued, text, steps, decode, total }
    }
}

pub(crate) fn from_one(image: u32) -> u64 {
    u64::from(image) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_id_name_and_one_line_of_data() {
        let failure = Failure::new(zimg_client::Kind::Refused, "a\nb").hint("c");
        let event = JobEvent::Failed((&failure).into());
        let frame = event.frame(Some(7), Some(("e", 3)));
        let expected = "id: e-3\nevent: failed\ndata: \
            {\"job\":\"7\",\"kind\":\"refused\",\"message\":\"a\\nb\",\"hint\":\"c\"}\n\n";
        assert_eq!(frame, expected.as_bytes());
        let waiting = JobEvent::Waiting(WaitingFields::Loading { done: 1, total: 2 });
        let expected = "event: waiting\ndata: \
            {\"job\":\"7\",\"state\":\"loading\",\"done\":1,\"total\":2}\n\n";
        assert_eq!(waiting.frame(Some(7), None), expected.as_bytes());
        assert_eq!(JobEvent::Reset {}.frame(None, None), &b"event: reset\ndata: {}\n\n"[..]);
        let status = JobEvent::Status(serde_json::json!({"queued": 1}));
        assert_eq!(status.frame(None, None), &b"event: status\ndata: {\"queued\":1}\n\n"[..]);
    }
}
