//! A job as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use zimg_client::limits::PROMPT_SHOWN;
use zimg_client::{Expiries, JobInfo, JobState, Params, Priority, Started};

use super::params;
use crate::tracker::{FailureFields, from_one};

/// What is known of a job: as the daemon lists it, and in full where it was asked.
pub(super) fn object(
    info: &JobInfo,
    details: Option<&(Params, Option<Started>)>,
    expiries: Option<&Expiries>,
) -> Value {
    let (asked, cut) = match details {
        Some((asked, _)) => (params::to_json(asked), false),
        None => (listed(info), info.prompt.chars().count() >= PROMPT_SHOWN),
    };
    let mut job = json!({
        "id": info.job.to_string(),
        "state": "waiting",
        "position": null,
        "image": null,
        "step": null,
        "of": null,
        "failure": null,
        "count": info.count,
        "generated": info.generated,
        "params": asked,
        "prompt_cut": cut,
        "started": details.and_then(|(_, started)| started.as_ref()).map(started),
        "priority": match info.priority {
            Priority::Interactive => "interactive",
            Priority::Batch => "batch",
        },
        "accepted_ms": info.accepted_unix_s.saturating_mul(1000),
        "expires_ms": expiries.and_then(|expiries| expires_ms(info, expiries)),
        "images": images(info),
    });
    match &info.state {
        JobState::Waiting { position } => job["position"] = (*position).into(),
        JobState::Running { image, step, of } => {
            job["state"] = "running".into();
            job["image"] = from_one(*image).into();
            (job["step"], job["of"]) = ((*step).into(), (*of).into());
        }
        JobState::Done => job["state"] = "done".into(),
        JobState::Failed(failure) => {
            job["state"] = "failed".into();
            job["failure"] = json!(FailureFields::from(failure));
        }
        JobState::Blocked(failure) => {
            job["state"] = "blocked".into();
            job["failure"] = json!(FailureFields::from(failure));
        }
    }
    job
}

/// The parameters that a list has.
fn listed(info: &JobInfo) -> Map<String, Value> {
    let listed = json!({
        "prompt": info.prompt,
        "width": info.width,
        "height": info.height,
        "seed": info.seed.to_string(),
        "count": info.count,
    });
    match listed {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// When a job that has ended is deleted, in milliseconds since 1970: not before, since time in which
/// no daemon runs does not count.
fn expires_ms(info: &JobInfo, expiries: &Expiries) -> Option<u64> {
    let expiry = expiries.jobs.iter().find(|expiry| expiry.job == info.job)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some((now + expiry.expires_in_s).saturating_mul(1000))
}

fn started(started: &Started) -> Value {
    json!({
        "model": started.model.name,
        "width": started.width,
        "height": started.height,
        "steps": started.steps,
        "guidance": started.guidance,
    })
}

fn images(info: &JobInfo) -> Vec<Value> {
    let of_index = |index: u32| {
        json!({
            "id": format!("{}-{}", info.job, from_one(index)),
            "image": from_one(index),
            "seed": info.seed.wrapping_add(index.into()).to_string(),
            "width": info.width,
            "height": info.height,
        })
    };
    (0..info.generated).map(of_index).collect()
}
