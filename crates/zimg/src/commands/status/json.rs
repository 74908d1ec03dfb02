//! The `--json` event `status`: the state of the daemon.

use serde::Serialize;
use zimg_client::{Counters, DeviceMemory, ModelInfo, PlannedMemory, Setup, Weights, WorkerStatus};

use crate::daemon_state::DaemonState;
use crate::json::{FailureFields, WorkerFields};
use crate::version::VERSION;

/// `worker`, `model`, `weights` and `memory` are those of the first worker; `workers` has them all.
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
    connections: ConnectionsObject,
    detached: DetachedObject<'a>,
    counters: CountersObject,
    config: Option<&'a str>,
    workers: Vec<WholeWorkerObject<'a>>,
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
struct WholeWorkerObject<'a> {
    #[serde(flatten)]
    worker: WorkerObject<'a>,
    model: Option<ModelObject<'a>>,
    weights: Option<WeightsObject>,
    memory: Option<MemoryObject>,
    plan: Option<PlanObject<'a>>,
}

/// The memory plan.
#[derive(Serialize)]
struct PlanObject<'a> {
    sentence: &'a str,
    budget: u64,
    peak: u64,
    blocks: u32,
    resident_blocks: u32,
    text_encoder: &'static str,
    decode: &'static str,
    packed: bool,
    image_s: Option<f32>,
    new_prompt_s: Option<f32>,
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
    path: &'a str,
}

#[derive(Serialize)]
struct JobsObject {
    queued: u32,
    done: u64,
    failed: u64,
    unfinished: u32,
    limit: u32,
    limit_per_user: u32,
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
    log_lines_lost: u64,
}

/// The event of this state.
pub(crate) fn status_event(seen: &DaemonState) -> StatusEvent<'_> {
    let DaemonState { overview, setup, .. } = seen;
    let status = &overview.status;
    let WholeWorkerObject { worker, model, weights, memory, .. } =
        whole(status.first_worker(), seen);
    StatusEvent {
        version: &status.version,
        pid: status.pid,
        uptime_s: status.uptime_s,
        worker,
        model,
        jobs: JobsObject {
            queued: status.queued,
            done: status.done,
            failed: status.failed,
            unfinished: overview.unfinished,
            limit: overview.limits.jobs,
            limit_per_user: overview.limits.jobs_per_user,
            wait_ms: overview.wait_ms,
        },
        zimg: VERSION,
        weights,
        memory,
        connections: ConnectionsObject {
            open: overview.connections,
            limit: overview.limits.connections,
        },
        detached: DetachedObject {
            jobs: overview.detached,
            directory: setup.state_dir.as_deref(),
            error: overview.store_failure.as_ref().map(FailureFields::from),
        },
        counters: counted(&overview.counters),
        config: setup.config.as_deref(),
        workers: status.workers.iter().map(|worker| whole(worker, seen)).collect(),
    }
}

fn whole<'a>(worker: &'a WorkerStatus, seen: &'a DaemonState) -> WholeWorkerObject<'a> {
    let setup = &seen.setup;
    WholeWorkerObject {
        worker: WorkerObject {
            state: (&worker.state).into(),
            id: worker.worker.0,
            pid: worker.pid,
            restarts: worker.restarts,
            load_s: worker.load_s,
            last_error: worker.last_error.as_deref(),
            age_s: worker.age_s,
        },
        model: worker.model.as_ref().map(|info| model(info, setup)),
        weights: worker.weights.map(|weights| match weights {
            Weights::Read { bytes } => WeightsObject { from: "checkpoint", bytes },
            Weights::Retained { bytes } => WeightsObject { from: "retained", bytes },
        }),
        memory: worker.memory.map(|DeviceMemory { used, total }| MemoryObject { used, total }),
        plan: seen.plan_of(worker.worker).map(plan),
    }
}

fn plan(plan: &PlannedMemory) -> PlanObject<'_> {
    PlanObject {
        sentence: &plan.sentence,
        budget: plan.budget,
        peak: plan.peak,
        blocks: plan.blocks,
        resident_blocks: plan.resident_blocks,
        text_encoder: if plan.text_encoder { "resident" } else { "streamed" },
        decode: if plan.strips { "strips" } else { "whole" },
        packed: plan.packed,
        image_s: plan.image_s,
        new_prompt_s: plan.new_prompt_s,
    }
}

fn model<'a>(model: &'a ModelInfo, setup: &'a Setup) -> ModelObject<'a> {
    ModelObject {
        name: &model.name,
        device: &model.device,
        dtype: &model.dtype,
        width: model.width,
        height: model.height,
        steps: model.steps,
        guidance: model.guidance,
        max_tokens: model.max_tokens,
        path: &setup.model,
    }
}

fn counted(counters: &Counters) -> CountersObject {
    let Counters {
        images,
        steps,
        step_seconds,
        cancelled,
        busy,
        resumed,
        preempted,
        log_lines_lost,
    } = *counters;
    CountersObject {
        images,
        steps,
        step_seconds,
        cancelled,
        busy,
        resumed,
        preempted,
        log_lines_lost,
    }
}
