//! One worker's slot: its lifecycle, its present process, and what that has said about itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use zimage_ipc::Command;
use zimg_protocol::messages::{DeviceMemory, ModelInfo, Weights, WorkerState, WorkerStatus};
use zimg_protocol::{Failure, Kind};

use super::WorkerId;
use super::lifecycle::Lifecycle;
use super::lifecycle::state::WorkerPhase;
use super::link::{FromWorker, Link};
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
        let (child, socket) = command.spawn(StartOptions { weights: weights.ok(), awaited })?;
        let socket = socket
            .set_nonblocking(true)
            .and_then(|()| tokio::net::UnixStream::from_std(socket))
            .map_err(|error| Failure::new(Kind::Internal, format!("no socket: {error}")))?;
        self.link = Some(Link::new(self.id, child, socket, self.to_supervisor.clone()));
        Ok(())
    }

    /// Sends a command and the latents that it announces.
    pub(crate) fn command(&self, command: Command, latents: Bytes) {
        if let Some(link) = &self.link {
            link.command(command, latents);
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
        self.link = None;
        self.warming = None;
        self.load_s = None;
        self.weights = None;
        self.memory = None;
    }

    /// The process warms up.
    pub(crate) fn warming(&mut self) {
        self.warming.get_or_insert_with(Instant::now);
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
