//! The status as the page gets it: what the daemon does in words that a page can translate, the
//! model, and what this process can.

use serde_json::{Value, json};
use zimg_client::{Capabilities, Expiries, ModelInfo, Overview, WorkerState};

use crate::problem::Problem;
use crate::waiting::WaitingFields;

/// What this process says about itself.
#[derive(Clone, Debug, Default)]
pub struct FrontInfo {
    /// Whether steps and guidance of OpenAI's and A1111's clients count.
    pub obey_steps: bool,
}

/// The status as JSON. The model is that of the last answer while the daemon is away.
pub(crate) fn value(
    overview: Result<&Overview, &Problem>,
    model: Option<&ModelInfo>,
    expiries: Option<&Expiries>,
    front: &FrontInfo,
) -> Value {
    let state = match overview {
        Ok(overview) => state(overview),
        Err(problem) => WaitingFields::Unreachable {
            message: problem.message().to_owned(),
            hint: problem.hint_text().map(str::to_owned),
        },
    };
    let overview = overview.ok();
    json!({
        "daemon": state,
        "model": model.map(of_model),
        "capabilities": model.map(|model| capabilities(&model.capabilities)),
        "queued": overview.map(|seen| seen.status.queued),
        "unfinished": overview.map(|seen| seen.unfinished),
        "wait_ms": overview.and_then(|seen| seen.wait_ms),
        "limits": overview.map(|seen| json!({
            "jobs": seen.limits.jobs,
            "jobs_per_user": seen.limits.jobs_per_user,
        })),
        "retention": expiries.map(|expiries| json!({
            "seconds": expiries.retention_s,
            "bytes": expiries.bytes_per_user,
        })),
        "store": overview.and_then(|seen| seen.store_failure.as_ref()).map(|failure| json!({
            "message": failure.message,
            "hint": failure.hint,
        })),
        "front": {
            "version": env!("CARGO_PKG_VERSION"),
            "formats": ["png", "webp", "jpeg"],
            "obey_steps": front.obey_steps,
        },
    })
}

/// Whether a status differs from another in more than its estimate.
pub(crate) fn is_news(before: &Value, now: &Value) -> bool {
    let without = |value: &Value| {
        let mut value = value.clone();
        if let Some(object) = value.as_object_mut() {
            object.remove("wait_ms");
        }
        value
    };
    without(before) != without(now)
}

/// Of several workers, the state of the one that serves first.
fn state(overview: &Overview) -> WaitingFields {
    let rank = |state: &WorkerState| match state {
        WorkerState::Ready => 0,
        WorkerState::Busy { .. } => 1,
        WorkerState::Warming => 2,
        WorkerState::Loading { .. } => 3,
        WorkerState::Starting => 4,
        WorkerState::Draining => 5,
        WorkerState::Asleep => 6,
        WorkerState::Restarting { .. } => 7,
        WorkerState::Failed(_) => 8,
    };
    let states = overview.status.workers.iter().map(|worker| &worker.state);
    states.min_by_key(|state| rank(state)).map_or(WaitingFields::Asleep, WaitingFields::from)
}

fn of_model(model: &ModelInfo) -> Value {
    json!({
        "name": model.name,
        "device": model.device,
        "dtype": model.dtype,
        "width": model.width,
        "height": model.height,
        "steps": model.steps,
        "guidance": model.guidance,
        "max_tokens": model.max_tokens,
    })
}

fn capabilities(capabilities: &Capabilities) -> Value {
    json!({
        "parameters": capabilities.parameters,
        "guidance": capabilities.guidance,
        "negative_prompt": capabilities.negative_prompt,
        "side_min": capabilities.side_min,
        "side_max": capabilities.side_max,
        "side_multiple": capabilities.side_multiple,
        "images_max": capabilities.images_max,
        "initial_image": capabilities.initial_image,
        "mask": capabilities.mask,
        "control_image": capabilities.control_image,
        "lora": capabilities.lora,
    })
}
