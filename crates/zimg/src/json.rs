//! What happens, as lines of JSON on standard output: `{"v":1,"event":…}`. `docs/cli.md` is the
//! reference. Pictures count from 1, as in file names.

use std::io::{self, Write};

use serde_json::{Value, json};
use zimg_client::{Failure, Kind, Status, Update, Waiting, WorkerState};

use crate::report::Saved;
use crate::stop::Stop;

/// Prints one line.
///
/// # Errors
///
/// Standard output is closed or full.
pub(crate) fn print(value: &Value) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}").map_err(|error| Stop::writing(&error))
}

/// A job's update; none for a picture, which is told when it is saved.
pub(crate) fn update(update: &Update) -> Option<Value> {
    let value = match update {
        Update::Accepted { job, position } => {
            json!({"v": 1, "event": "accepted", "job": job, "position": position})
        }
        Update::Waiting(Waiting::Queue { position }) => {
            json!({"v": 1, "event": "waiting", "state": "queued", "position": position})
        }
        Update::Waiting(Waiting::Worker(state)) => {
            let mut value = worker(state);
            value["v"] = 1.into();
            value["event"] = "waiting".into();
            value
        }
        Update::Started(started) => json!({
            "v": 1, "event": "started", "model": started.model, "width": started.width,
            "height": started.height, "steps": started.steps, "guidance": started.guidance,
        }),
        Update::Step(step) => json!({
            "v": 1, "event": "step", "picture": u64::from(step.picture) + 1, "step": step.step,
            "of": step.of, "ms": step.ms,
        }),
        Update::Decoding { picture } => {
            json!({"v": 1, "event": "decoding", "picture": u64::from(*picture) + 1})
        }
        Update::Image(_) => return None,
        Update::Done(timings) => json!({
            "v": 1, "event": "done", "ms": {
                "queued": timings.queued, "text": timings.text, "steps": timings.steps,
                "decode": timings.decode, "total": timings.total,
            },
        }),
    };
    Some(value)
}

/// A picture is on the disk.
pub(crate) fn saved(saved: &Saved<'_>) -> Value {
    let info = saved.info;
    json!({
        "v": 1, "event": "saved", "picture": u64::from(info.index) + 1,
        "path": saved.path.map(|path| path.display().to_string()), "seed": info.seed,
        "width": info.width, "height": info.height, "bytes": saved.bytes,
    })
}

/// The last line of a command that failed.
pub(crate) fn failed(failure: &Failure) -> Value {
    let mut value = reason(failure);
    value["v"] = 1.into();
    value["event"] = "failed".into();
    value
}

/// The daemon's state.
pub(crate) fn status(status: &Status) -> Value {
    let model = status.model.as_ref().map(|model| {
        json!({
            "name": model.name, "device": model.device, "dtype": model.dtype,
            "width": model.width, "height": model.height, "steps": model.steps,
            "guidance": model.guidance, "max_tokens": model.max_tokens,
        })
    });
    let mut worker = worker(&status.worker);
    worker["pid"] = status.worker_pid.into();
    worker["restarts"] = status.restarts.into();
    worker["load_s"] = status.load_s.into();
    worker["last_error"] = status.last_error.clone().into();
    json!({
        "v": 1, "event": "status", "version": status.version, "pid": status.pid,
        "uptime_s": status.uptime_s, "worker": worker, "model": model,
        "jobs": {"queued": status.queued, "done": status.done, "failed": status.failed},
    })
}

fn worker(state: &WorkerState) -> Value {
    match state {
        WorkerState::Starting => json!({"state": "starting"}),
        WorkerState::Loading { done, total } => {
            json!({"state": "loading", "done": done, "total": total})
        }
        WorkerState::Warming => json!({"state": "warming"}),
        WorkerState::Ready => json!({"state": "ready"}),
        WorkerState::Busy { job, step, of } => {
            json!({"state": "busy", "job": job, "step": step, "of": of})
        }
        WorkerState::Draining => json!({"state": "draining"}),
        WorkerState::Restarting { in_ms, reason } => {
            json!({"state": "restarting", "in_ms": in_ms, "reason": reason})
        }
        WorkerState::Failed(failure) => json!({"state": "failed", "failure": reason(failure)}),
    }
}

fn reason(failure: &Failure) -> Value {
    let kind = match failure.kind {
        Kind::Usage => "usage",
        Kind::Refused => "refused",
        Kind::Unavailable => "unavailable",
        Kind::Internal => "internal",
        Kind::CannotCreate => "cannot_create",
        Kind::Io => "io",
        Kind::Busy => "busy",
        Kind::Version => "version",
        Kind::Permission => "permission",
        Kind::Config => "config",
        Kind::Cancelled => "cancelled",
    };
    json!({
        "kind": kind, "code": failure.kind.exit_code(), "message": failure.message,
        "hint": failure.hint,
    })
}
