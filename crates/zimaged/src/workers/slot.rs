//! One worker's slot: its lifecycle, its present process, and what that has said about itself.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use zimage_ipc::{Command, PlanBasis};
use zimg_protocol::messages::{
    DeviceMemory, ModelInfo, PlannedMemory, Weights, WorkerPlan, WorkerState, WorkerStatus,
};
use zimg_protocol::{Failure, Kind};

use super::WorkerId;
use super::lifecycle::Lifecycle;
use super::lifecycle::state::WorkerPhase;
use super::link::{CommandPayload, FromWorker, Link};
use super::process::{StartOptions, WorkerCommand};
use super::retained_weights::RetainedWeights;
use crate::events;

/// A worker, through all its processes.
#[derive(Debug)]
pub(crate) struct WorkerSlot {
    pub id: WorkerId,
    pub lifecycle: Lifecycle,
    /// How a process is started, or why none can be.
    command: Result<WorkerCommand, Failure>,
    to_supervisor: mpsc::Sender<(WorkerId, FromWorker)>,
    /// The present process.
    link: Option<Link>,
    pub retained_weights: RetainedWeights,
    /// When the present process was started.
    started: Instant,
    /// When it began its warm-up.
    warming: Option<Instant>,
    pub model: Option<ModelInfo>,
    load_s: Option<f32>,
    /// Where its weights came from.
    pub weights: Option<Weights>,
    pub memory: Option<DeviceMemory>,
    /// Its memory plan.
    plan: Option<PlannedMemory>,
    /// What that follows from, also for the next process, until the device is free.
    basis: Option<PlanBasis>,
    /// Whether the present process ends for a smaller plan.
    replans: bool,
}

impl WorkerSlot {
    /// A slot without a process.
    pub(super) fn new(
        id: WorkerId,
        lifecycle: Lifecycle,
        command: Result<WorkerCommand, Failure>,
        to_supervisor: mpsc::Sender<(WorkerId, FromWorker)>,
        retained_weights: RetainedWeights,
    ) -> Self {
        Self {
            id,
            lifecycle,
            command,
            to_supervisor,
            link: None,
            retained_weights,
            started: Instant::now(),
            warming: None,
            model: None,
            load_s: None,
            weights: None,
            memory: None,
            plan: None,
            basis: None,
            replans: false,
        }
    }

    /// Starts a process. It gets the retained weights, and is told the size of the image that a
    /// job waits for.
    ///
    /// # Errors
    ///
    /// As [`WorkerCommand::spawn`], and when the system has no room.
    pub(crate) fn spawn(&mut self, awaited: Option<(u32, u32)>) -> Result<(), Failure> {
        self.started = Instant::now();
        let weights = self.retained_weights.open();
        if let Err(error) = &weights {
            let worker = self.id.0;
            tracing::warn!(
                event = events::WEIGHTS_CHANNEL_FAILED,
                worker,
                "the worker does not get the retained weights: {error}"
            );
        }
        let command = self.command.as_ref().map_err(Clone::clone)?;
        let (child, socket) =
            command.spawn(StartOptions { weights: weights.ok(), awaited, basis: self.basis })?;
        let socket = socket
            .set_nonblocking(true)
            .and_then(|()| tokio::net::UnixStream::from_std(socket))
            .map_err(|error| Failure::new(Kind::Internal, format!("no socket: {error}")))?;
        self.link = Some(Link::new(self.id, child, socket, self.to_supervisor.clone()));
        Ok(())
    }

    /// Sends a command and what follows it.
    pub(crate) fn command(&self, command: Command, payload: CommandPayload) {
        if let Some(link) = &self.link {
            link.command(command, payload);
        }
    }

    /// Closes the process's input, which asks it to end: whether there is one.
    pub(crate) fn close(&mut self) -> bool {
        self.link.as_mut().map(Link::close).is_some()
    }

    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        if let Some(link) = &self.link {
            link.kill();
        }
    }

    /// The process is gone, and what it said with it. Its model stays the next one's, which gets
    /// its weights.
    pub(crate) fn exited(&mut self) {
        self.retained_weights.ended();
        if std::mem::take(&mut self.replans) {
            // Those of the larger plan take the memory that the next one needs.
            self.retained_weights.forget();
        }
        self.link = None;
        self.warming = None;
        self.load_s = None;
        self.weights = None;
        self.memory = None;
        self.plan = None;
    }

    /// The process warms up.
    pub(crate) fn warming(&mut self) {
        self.warming.get_or_insert_with(Instant::now);
    }

    /// The process has made its memory plan.
    pub(crate) fn planned(&mut self, plan: PlannedMemory, basis: PlanBasis) {
        let PlannedMemory { budget, peak, .. } = plan;
        tracing::info!(
            event = events::MEMORY_PLANNED,
            worker = self.id.0,
            budget,
            peak,
            "memory plan: {}",
            plan.sentence
        );
        self.plan = Some(plan);
        self.basis = Some(basis);
    }

    /// The process ends, and the next one makes a smaller plan.
    pub(crate) fn replan(&mut self, basis: PlanBasis, reason: &str) {
        let PlanBasis { budget, pixels } = basis;
        tracing::warn!(
            event = events::MEMORY_REPLANNED,
            worker = self.id.0,
            budget,
            pixels,
            "{reason}; a smaller memory plan is made"
        );
        self.basis = Some(basis);
        self.replans = true;
    }

    /// The device is for others: the next process plans with what is free then.
    pub(crate) fn free_device(&mut self) {
        self.retained_weights.forget();
        self.basis = None;
    }

    /// The memory plan, as clients are told.
    pub(crate) fn memory_plan(&self) -> Option<WorkerPlan> {
        Some(WorkerPlan { worker: self.id, plan: self.plan.clone()? })
    }

    /// The process is ready with this model: how long it warmed up, if it did.
    pub(crate) fn ready(&mut self, model: ModelInfo) -> Option<Duration> {
        let load_s = self.started.elapsed().as_secs_f32();
        tracing::info!(
            event = events::WORKER_READY,
            worker = self.id.0,
            model = model.name,
            device = model.device,
            dtype = model.dtype,
            load_s = format_args!("{load_s:.2}"),
            "ready"
        );
        self.retained_weights.ready();
        self.load_s = Some(load_s);
        self.model = Some(model);
        self.warming.map(|since| since.elapsed())
    }

    /// Its model, if it serves jobs.
    pub(crate) fn serving(&self) -> Option<&ModelInfo> {
        let serves =
            matches!(self.lifecycle.phase(), WorkerPhase::Ready | WorkerPhase::Busy { .. });
        self.model.as_ref().filter(|_| serves)
    }

    /// Whether the device is free for others.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.lifecycle.phase(), WorkerPhase::Asleep | WorkerPhase::Failed(_))
    }

    /// Its state as clients are told.
    pub(crate) fn state(&self) -> WorkerState {
        self.lifecycle.shown(Instant::now())
    }

    /// The slot as a status lists it.
    pub(crate) fn status(&self) -> WorkerStatus {
        WorkerStatus {
            worker: self.id,
            state: self.state(),
            pid: self.link.as_ref().and_then(|link| link.pid),
            restarts: self.lifecycle.restarts(),
            model: self.model.clone(),
            load_s: self.load_s,
            age_s: self.link.as_ref().map(|_| self.started.elapsed().as_secs()),
            weights: self.weights,
            memory: self.memory,
            last_error: self.lifecycle.last_error().map(str::to_owned),
        }
    }

    /// Gives it a link without a process.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn link_to(&mut self, link: Link) {
        self.link = Some(link);
    }
}
