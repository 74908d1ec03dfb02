//! All worker slots: built from the configuration, found by id, summed up for clients.

use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use zimg_protocol::Failure;
use zimg_protocol::messages::{ModelInfo, WorkerState};

use super::WorkerId;
use super::lifecycle::Lifecycle;
use super::lifecycle::state::WorkerPhase;
use super::link::{FromWorker, PENDING_MAX};
use super::process::WorkerCommand;
use super::retained_weights::{FdName, RetainedWeights};
use super::slot::WorkerSlot;
use crate::events;
use crate::systemd;
use crate::timeouts::Timeouts;

/// The workers, one a device.
#[derive(Debug)]
pub(crate) struct Workers(Vec<WorkerSlot>);

/// Where messages of all workers come in, each with its worker's id.
pub(crate) type WorkerMessages = mpsc::Receiver<(WorkerId, FromWorker)>;

impl Workers {
    /// A slot for each command, without a process yet. Weights that an earlier daemon left go to
    /// the worker that they are of.
    pub(crate) fn new(
        commands: Vec<Result<WorkerCommand, Failure>>,
        mut weights: Vec<(FdName, OwnedFd)>,
        timeouts: Timeouts,
        idle_unload: Option<Duration>,
    ) -> (Self, WorkerMessages) {
        let (to_supervisor, messages) = mpsc::channel(PENDING_MAX * commands.len().max(1));
        let now = Instant::now();
        let slot = |(number, command)| {
            let id = WorkerId(number);
            // Two daemons on one machine, and two workers of one, do not back off in step.
            let seed = u64::from(std::process::id()) + (u64::from(number) << 32);
            let lifecycle = Lifecycle::new(timeouts, idle_unload, seed, now);
            let retained = RetainedWeights::restore(id, &mut weights);
            WorkerSlot::new(id, lifecycle, command, to_supervisor.clone(), retained)
        };
        let slots = (0..).zip(commands).map(slot).collect();
        for (name, _) in weights {
            tracing::warn!(
                event = events::WEIGHTS_UNCLAIMED,
                worker = name.worker.0,
                "there is no worker for the retained weights {name}: dropped"
            );
            systemd::remove_fds(&name.to_string());
        }
        (Self(slots), messages)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &WorkerSlot> {
        self.0.iter()
    }

    /// All of them, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut WorkerSlot> {
        self.0.iter_mut()
    }

    /// The ids of all of them.
    pub(crate) fn ids(&self) -> Vec<WorkerId> {
        self.iter().map(|slot| slot.id).collect()
    }

    /// One of them.
    pub(crate) fn get(&self, id: WorkerId) -> Option<&WorkerSlot> {
        self.0.get(id.0 as usize)
    }

    /// One of them, to change it.
    pub(crate) fn get_mut(&mut self, id: WorkerId) -> Option<&mut WorkerSlot> {
        self.0.get_mut(id.0 as usize)
    }

    /// The model that jobs without a worker may expect.
    pub(crate) fn model(&self) -> Option<&ModelInfo> {
        self.iter().find_map(|slot| slot.model.as_ref())
    }

    /// Workers that serve jobs, each with its model.
    pub(crate) fn serving(&self) -> Vec<(WorkerId, &ModelInfo)> {
        self.iter().filter_map(|slot| Some((slot.id, slot.serving()?))).collect()
    }

    /// Why no worker can run, if none can.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        let mut failures = self.iter().map(|slot| match slot.lifecycle.phase() {
            WorkerPhase::Failed(failure) => Some(failure),
            _ => None,
        });
        let first = failures.next()??;
        failures.all(|failure| failure.is_some()).then_some(first)
    }

    /// Whether all devices are free for others.
    pub(crate) fn are_off(&self) -> bool {
        self.iter().all(WorkerSlot::is_off)
    }

    /// Whether no killed process goes away.
    pub(crate) fn are_stuck(&self, now: Instant) -> bool {
        self.iter().all(|slot| slot.lifecycle.is_stuck(now))
    }

    /// The state of the worker that is of most use: it says whether jobs can run.
    pub(crate) fn state(&self) -> WorkerState {
        let states = self.iter().map(WorkerSlot::state);
        states.min_by_key(usefulness).unwrap_or(WorkerState::Starting)
    }

    /// Ready when a worker has said what of its weights is to be retained, which is done then.
    pub(crate) fn poll_offers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut polled = self.0.iter_mut().map(|slot| slot.retained_weights.poll_offer(context));
        if polled.any(|polled| polled.is_ready()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Less is more useful.
fn usefulness(state: &WorkerState) -> u8 {
    match state {
        WorkerState::Busy { .. } => 0,
        WorkerState::Ready => 1,
        WorkerState::Draining => 2,
        WorkerState::Warming => 3,
        WorkerState::Loading { .. } => 4,
        WorkerState::Starting => 5,
        WorkerState::Restarting { .. } => 6,
        WorkerState::Asleep => 7,
        WorkerState::Failed(_) => 8,
    }
}
