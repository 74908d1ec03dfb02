//! The line of `zimg status --json`.

use serde::Serialize;
use zimg_client::{Counters, DeviceMemory, ModelInfo, Overview, Setup, Weights};

use super::{Event, Reason, State, reason, state};
use crate::commands::Seen;

/// What is `null` a daemon of an older minor version does not say.
#[derive(Serialize)]
pub(crate) struct Daemon<'a> {
    version: &'a str,
    pid: u32,
    uptime_s: u64,
    worker: Worker<'a>,
    model: Option<Model<'a>>,
    jobs: Jobs,
    zimg: &'static str,
    weights: Option<Origin>,
    memory: Option<Memory>,
    connections: Option<Taken>,
    kept: Option<Kept<'a>>,
    counters: Option<Counted>,
    config: Option<&'a str>,
}

#[derive(Serialize)]
struct Worker<'a> {
    #[serde(flatten)]
    state: State<'a>,
    pid: Option<u32>,
    restarts: u32,
    load_s: Option<f32>,
    last_error: Option<&'a str>,
    age_s: Option<u64>,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    device: &'a str,
    dtype: &'a str,
    width: u32,
    height: u32,
    steps: u32,
    guidance: f32,
    max_tokens: u32,
    /// A folder, or "tiny".
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct Jobs {
    queued: u32,
    done: u64,
    failed: u64,
    unfinished: Option<u32>,
    places: Option<u32>,
    places_per_user: Option<u32>,
    wait_ms: Option<u64>,
}

#[derive(Serialize)]
struct Origin {
    from: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct Memory {
    used: u64,
    total: u64,
}

#[derive(Serialize)]
struct Taken {
    open: u32,
    places: u32,
}

#[derive(Serialize)]
struct Kept<'a> {
    jobs: u32,
    folder: Option<&'a str>,
    trouble: Option<Reason<'a>>,
}

#[derive(Serialize)]
struct Counted {
    images: u64,
    steps: u64,
    step_seconds: f64,
    cancelled: u64,
    busy: u64,
    resumed: u64,
    overtaken: u64,
}

/// The daemon's state.
pub(crate) fn status(seen: &Seen) -> Event<'_> {
    let Seen { status, overview, setup } = seen;
    let (overview, setup) = (overview.as_ref(), setup.as_ref());
    Event::Status(Box::new(Daemon {
        version: &status.version,
        pid: status.pid,
        uptime_s: status.uptime_s,
        worker: Worker {
            state: state(&status.worker),
            pid: status.worker_pid,
            restarts: status.restarts,
            load_s: status.load_s,
            last_error: status.last_error.as_deref(),
            age_s: overview.and_then(|overview| overview.worker_age_s),
        },
        model: status.model.as_ref().map(|info| model(info, setup)),
        jobs: Jobs {
            queued: status.queued,
            done: status.done,
            failed: status.failed,
            unfinished: overview.map(|overview| overview.unfinished),
            places: overview.map(|overview| overview.places.jobs),
            places_per_user: overview.map(|overview| overview.places.jobs_per_user),
            wait_ms: overview.and_then(|overview| overview.wait_ms),
        },
        zimg: env!("CARGO_PKG_VERSION"),
        weights: overview.and_then(|overview| overview.weights).map(|weights| match weights {
            Weights::Read { bytes } => Origin { from: "checkpoint", bytes },
            Weights::Kept { bytes } => Origin { from: "kept", bytes },
        }),
        memory: overview
            .and_then(|overview| overview.memory)
            .map(|DeviceMemory { used, total }| Memory { used, total }),
        connections: overview.map(|overview| Taken {
            open: overview.connections,
            places: overview.places.connections,
        }),
        kept: overview.map(|overview| kept(overview, setup)),
        counters: overview.map(|overview| counted(&overview.counters)),
        config: setup.and_then(|setup| setup.config.as_deref()),
    }))
}

fn model<'a>(model: &'a ModelInfo, setup: Option<&'a Setup>) -> Model<'a> {
    Model {
        name: &model.name,
        device: &model.device,
        dtype: &model.dtype,
        width: model.width,
        height: model.height,
        steps: model.steps,
        guidance: model.guidance,
        max_tokens: model.max_tokens,
        path: setup.map(|setup| &*setup.model),
    }
}

fn kept<'a>(overview: &'a Overview, setup: Option<&'a Setup>) -> Kept<'a> {
    Kept {
        jobs: overview.kept,
        folder: setup.and_then(|setup| setup.state_dir.as_deref()),
        trouble: overview.keeping.as_ref().map(reason),
    }
}

fn counted(counters: &Counters) -> Counted {
    let Counters { images, steps, step_seconds, cancelled, busy, resumed, overtaken } = *counters;
    Counted { images, steps, step_seconds, cancelled, busy, resumed, overtaken }
}
