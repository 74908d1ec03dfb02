//! `zimg metrics`: the daemon's figures in Prometheus' text format, for node_exporter's textfile
//! collector.
//!
//! Source: Prometheus' "Exposition formats", text format 0.0.4, and its names' conventions: base
//! units, and `_total` for what only grows.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use zimg_client::{Client, Failure, Kind, Overview, Weights, WorkerState};

use super::PROGRAM;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::Common;

/// Asks the daemon and prints its answer.
///
/// # Errors
///
/// No daemon, `--json`, or standard output is full.
pub(crate) fn run(common: &Common) -> Result<(), Stop> {
    if common.json {
        let failure = Failure::new(Kind::Usage, "metrics are text for Prometheus, not JSON");
        return Err(failure.hint("zimg status --json says how the daemon is").into());
    }
    let socket = common.find_socket(&Settings::read()?)?;
    let overview = Client::connect(PROGRAM, &socket)?.overview()?;
    let written = io::stdout().lock().write_all(text(&overview).as_bytes());
    written.map_err(|error| Stop::writing(&error))
}

/// A gauge may fall, a counter only grows until the daemon is started again.
fn text(overview: &Overview) -> String {
    let Overview { status, counters, places, memory, .. } = overview;
    let mut text = String::new();
    let mut put = |name: &str, kind: &str, help: &str, value: f64| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP zimg_{name} {help}\n# TYPE zimg_{name} {kind}");
        let _ = writeln!(text, "zimg_{name} {value}");
    };
    let ready = matches!(status.worker, WorkerState::Ready | WorkerState::Busy { .. });
    let asleep = status.worker == WorkerState::Asleep;
    let kept = matches!(overview.weights, Some(Weights::Kept { .. }));
    let flag = |is: bool| f64::from(u8::from(is));
    put("up_seconds", "gauge", "Since the daemon started.", status.uptime_s as f64);
    put("worker_ready", "gauge", "Whether a picture can be drawn at once.", flag(ready));
    put("worker_asleep", "gauge", "Whether the GPU is free until the next prompt.", flag(asleep));
    put("worker_restarts_total", "counter", "Starts after the first.", status.restarts.into());
    put("weights_kept", "gauge", "Whether the worker read no weights.", flag(kept));
    if let Some(seconds) = status.load_s {
        put("load_seconds", "gauge", "From the worker's start to ready.", seconds.into());
    }
    if let Some(memory) = memory {
        put("memory_used_bytes", "gauge", "Of the device, by anybody.", memory.used as f64);
        put("memory_bytes", "gauge", "Of the device.", memory.total as f64);
    }
    put("jobs", "gauge", "Unfinished: running and waiting.", overview.unfinished.into());
    put("jobs_queued", "gauge", "Waiting.", status.queued.into());
    put("jobs_max", "gauge", "Places for unfinished jobs.", places.jobs.into());
    put("jobs_kept", "gauge", "Detached, with pictures to fetch.", overview.kept.into());
    put("connections", "gauge", "Open now.", overview.connections.into());
    put("jobs_done_total", "counter", "Answered with all pictures.", status.done as f64);
    put("jobs_failed_total", "counter", "Answered with a failure.", status.failed as f64);
    put("jobs_cancelled_total", "counter", "Cancelled.", counters.cancelled as f64);
    put("jobs_busy_total", "counter", "Sent away for want of a place.", counters.busy as f64);
    put(
        "jobs_resumed_total",
        "counter",
        "Went on after a worker's death.",
        counters.resumed as f64,
    );
    put("jobs_overtaken_total", "counter", "Times a job was overtaken.", counters.overtaken as f64);
    put("pictures_total", "counter", "Delivered or kept.", counters.pictures as f64);
    put("steps_total", "counter", "Drawn.", counters.steps as f64);
    put("step_seconds_total", "counter", "That these steps took.", counters.step_seconds);
    text
}
