//! The `--json` event `status`: the state of the daemon.

use serde::Serialize;
use zimg_client::{Counters, DeviceMemory, ModelInfo, Overview, Setup, Weights};

use crate::daemon_state::DaemonState;
use crate::json::{FailureFields, WorkerFields};
use crate::version::VERSION;

/// A daemon of an older minor version does not report the fields that are `null`.
#[derive(Serialize)]
#[serde(tag = "event", rename = "status")]
pub(crate) struct StatusEvent<'a> {
    version: &'a str,
    pid: u32,
    uptime_s: u64,
    worker: WorkerObject<'a>,
    model: Option<ModelObject<'a>>,
    jobs: JobsObject,
    zimg: &'static str,
    weights: Option<WeightsObject>,
    memory: Option<MemoryObject>,
    connections: Option<ConnectionsObject>,
    detached: Option<DetachedObject<'a>>,
    counters: Option<CountersObject>,
    config: Option<&'a str>,
}

#[derive(Serialize)]
struct WorkerObject<'a> {
    #[serde(flatten)]
    state: WorkerFields<'a>,
    /// Its number.
    id: u32,
    pid: Option<u32>,
    restarts: u32,
    load_s: Option<f32>,
    last_error: Option<&'a str>,
    age_s: Option<u64>,
}

#[derive(Serialize)]
struct ModelObject<'a> {
    name: &'a str,
    device: &'a str,
    dtype: &'a str,
    width: u32,
    height: u32,
    steps: u32,
    guidance: f32,
    max_tokens: u32,
    /// A directory, or "tiny".
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct JobsObject {
    queued: u32,
    done: u64,
    failed: u64,
    unfinished: Option<u32>,
    limit: Option<u32>,
    limit_per_user: Option<u32>,
    wait_ms: Option<u64>,
}

#[derive(Serialize)]
struct WeightsObject {
    from: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct MemoryObject {
    used: u64,
    total: u64,
}

#[derive(Serialize)]
struct ConnectionsObject {
    open: u32,
    limit: u32,
}

#[derive(Serialize)]
struct DetachedObject<'a> {
    jobs: u32,
    directory: Option<&'a str>,
    error: Option<FailureFields<'a>>,
}

#[derive(Serialize)]
struct CountersObject {
    images: u64,
    steps: u64,
    step_seconds: f64,
    cancelled: u64,
    busy: u64,
    resumed: u64,
    preempted: u64,
}

/// The event of this state.
pub(crate) fn status_event(seen: &DaemonState) -> StatusEvent<'_> {
    let DaemonState { status, overview, setup } = seen;
    let (overview, setup) = (overview.as_ref(), setup.as_ref());
    StatusEvent {
        version: &status.version,
        pid: status.pid,
        uptime_s: status.uptime_s,
        worker: WorkerObject {
            id: status.first_worker().worker.0,
            state: (&status.first_worker().state).into(),
            pid: status.first_worker().pid,
            restarts: status.first_worker().restarts,
            load_s: status.first_worker().load_s,
            last_error: status.first_worker().last_error.as_deref(),
            age_s: overview.and_then(|overview| overview.status.first_worker().age_s),
        },
        model: status.first_worker().model.as_ref().map(|info| model(info, setup)),
        jobs: JobsObject {
            queued: status.queued,
            done: status.done,
            failed: status.failed,
            unfinished: overview.map(|overview| overview.unfinished),
            limit: overview.map(|overview| overview.limits.jobs),
            limit_per_user: overview.map(|overview| overview.limits.jobs_per_user),
            wait_ms: overview.and_then(|overview| overview.wait_ms),
        },
        zimg: VERSION,
        weights: overview.and_then(|overview| overview.status.first_worker().weights).map(
            |weights| match weights {
                Weights::Read { bytes } => WeightsObject { from: "checkpoint", bytes },
                Weights::Retained { bytes } => WeightsObject { from: "retained", bytes },
            },
        ),
        memory: overview
            .and_then(|overview| overview.status.first_worker().memory)
            .map(|DeviceMemory { used, total }| MemoryObject { used, total }),
        connections: overview.map(|overview| ConnectionsObject {
            open: overview.connections,
            limit: overview.limits.connections,
        }),
        detached: overview.map(|overview| detached(overview, setup)),
        counters: overview.map(|overview| counted(&overview.counters)),
        config: setup.and_then(|setup| setup.config.as_deref()),
    }
}

fn model<'a>(model: &'a ModelInfo, setup: Option<&'a Setup>) -> ModelObject<'a> {
    ModelObject {
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

fn detached<'a>(overview: &'a Overview, setup: Option<&'a Setup>) -> DetachedObject<'a> {
    DetachedObject {
        jobs: overview.detached,
        directory: setup.and_then(|setup| setup.state_dir.as_deref()),
        error: overview.store_failure.as_ref().map(FailureFields::from),
    }
}

fn counted(counters: &Counters) -> CountersObject {
    let Counters { images, steps, step_seconds, cancelled, busy, resumed, preempted } = *counters;
    CountersObject { images, steps, step_seconds, cancelled, busy, resumed, preempted }
}
