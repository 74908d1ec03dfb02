//! The supervisor: an event loop that routes what clients, workers and the store say to the
//! tables, and performs the effects that these return. It never waits for any of them.
//!
//! Jobs are in `jobs::JobTable`, workers in `workers::Workers`; here are the connections
//! (`clients`), those that wait for detached jobs (`subscriptions`), one file for each request
//! (`requests`), and the shutdown.

mod clients;
mod effects;
mod feed;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod reports;
mod requests;
mod shutdown;
mod store;
mod store_events;
mod subscriptions;

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;
use zimage_checkpoint::ModelLocation;
use zimg_protocol::Failure;
use zimg_protocol::messages::{DaemonLimits, Loras, Request};

use self::clients::Clients;
use self::store::StoreHandle;
use self::subscriptions::Subscriptions;
use crate::events;
use crate::jobs::JobTable;
use crate::outbox::{ClientId, Outbox};
use crate::owner::{Peer, TrustedGroup};
use crate::request_images::NewJob;
use crate::retention::Retention;
use crate::scheduler::queue::QueueLimits;
use crate::store::StoreEvent;
use crate::systemd::Notifier;
use crate::timeouts::Timeouts;
use crate::workers::WorkerId;
use crate::workers::lifecycle::state::{WorkerInput, WorkerPhase};
use crate::workers::link::FromWorker;
use crate::workers::process::WorkerCommand;
use crate::workers::retained_weights::FdName;
use crate::workers::set::{WorkerMessages, Workers};

/// Messages of clients that may wait for the supervisor.
pub(crate) const MESSAGES_MAX: usize = 64;

/// What comes from clients.
#[derive(Debug)]
pub(crate) enum FromClient {
    /// A connection is open.
    Joined { id: ClientId, peer: Peer, outbox: Outbox },
    /// It sends a request.
    Asked { id: ClientId, request: Request },
    /// It sends a request with images, which have come.
    Submitted { id: ClientId, job: NewJob },
    /// It asked something that this version does not take.
    Refused { id: ClientId, failure: Failure },
    /// It is closed.
    Left { id: ClientId },
}

/// What the supervisor starts with.
#[derive(Debug)]
pub(crate) struct SupervisorConfig {
    /// The configuration file that was read.
    pub config: Option<PathBuf>,
    /// The model that workers load.
    pub model: ModelLocation,
    /// How each worker is started; a worker without a command refuses every job with the failure.
    pub workers: Vec<Result<WorkerCommand, Failure>>,
    /// The limits of what clients may have at a time.
    pub limits: DaemonLimits,
    /// A worker that had nothing to do for so long is ended.
    pub idle_unload: Option<Duration>,
    pub timeouts: Timeouts,
    /// Where detached jobs are stored, or why nowhere.
    pub folder: Result<PathBuf, Failure>,
    /// How much of them, and how long.
    pub retention: Retention,
    /// Weights that a daemon before this one left.
    pub weights: Vec<(FdName, OwnedFd)>,
    /// The group whose processes may ask on behalf of others.
    pub trusted_group: Option<TrustedGroup>,
}

/// The task that accepts connections.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub task: AbortHandle,
    /// A service manager listens on when this daemon does no more, for the next one.
    pub is_kept_open: bool,
}

/// The daemon's state.
#[derive(Debug)]
pub(crate) struct Supervisor {
    config: SupervisorConfig,
    started: Instant,
    clients: Clients,
    subscriptions: Subscriptions,
    jobs: JobTable,
    workers: Workers,
    from_workers: WorkerMessages,
    store: StoreHandle,
    /// Clients that wait until the device is free.
    sleepers: Vec<ClientId>,
    /// Clients that wait for the list of LoRAs, and the last one.
    lora_askers: Vec<ClientId>,
    loras: Option<Loras>,
    /// Until when the running jobs may go on, once the daemon shuts down.
    stop_by: Option<Instant>,
    notifier: Notifier,
}

/// What woke the supervisor.
enum Woken {
    Client(FromClient),
    Worker(WorkerId, FromWorker),
    Store(StoreEvent),
    StoreDue,
    WeightsOffered,
    Deadline,
    Watchdog,
    Terminate,
    HangUp,
    StopNow,
}

impl Supervisor {
    /// A supervisor that has started nothing yet but the store.
    ///
    /// # Errors
    ///
    /// There is no room for a thread.
    pub(crate) fn new(mut config: SupervisorConfig) -> std::io::Result<Self> {
        let (workers, from_workers) = Workers::new(
            std::mem::take(&mut config.workers),
            std::mem::take(&mut config.weights),
            config.timeouts,
            config.idle_unload,
        );
        let limits = QueueLimits {
            total: config.limits.jobs as usize,
            per_user: config.limits.jobs_per_user as usize,
        };
        Ok(Self {
            started: Instant::now(),
            clients: Clients::default(),
            subscriptions: Subscriptions::default(),
            jobs: JobTable::new(limits, config.retention),
            workers,
            from_workers,
            store: StoreHandle::start(config.folder.clone())?,
            sleepers: Vec::new(),
            lora_askers: Vec::new(),
            loras: None,
            stop_by: None,
            notifier: Notifier::new(sd_notify::watchdog_enabled()),
            config,
        })
    }

    /// Works until told to end by SIGTERM or SIGINT. Then running jobs may finish; later clients
    /// are refused, or wait in the socket for the next daemon. The workers are gone when this
    /// returns. A second signal cuts it short.
    ///
    /// # Errors
    ///
    /// Signals cannot be received.
    pub(crate) async fn run(
        mut self,
        mut clients: mpsc::Receiver<FromClient>,
        acceptor: Acceptor,
    ) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        for worker in self.workers.ids() {
            self.spawn(worker);
        }
        self.open_store().await;
        loop {
            self.dispatch();
            if self.stop_by.is_some() && self.jobs.running() == 0 {
                break;
            }
            let deadline = self.deadlines().map(|(_, at)| at).min();
            let woken = tokio::select! {
                Some(message) = clients.recv() => Woken::Client(message),
                Some((worker, message)) = self.from_workers.recv() => Woken::Worker(worker, message),
                Some(event) = self.store.events.recv() => Woken::Store(event),
                () = at(Some(self.store.next_check)) => Woken::StoreDue,
                () = poll_fn(|context| self.workers.poll_offers(context)) => Woken::WeightsOffered,
                () = at(deadline) => Woken::Deadline,
                () = at(self.notifier.next_due()) => Woken::Watchdog,
                () = at(self.stop_by) => Woken::StopNow,
                () = either(&mut terminate, &mut interrupt) => Woken::Terminate,
                _ = hang_up.recv() => Woken::HangUp,
            };
            self.excuse_suspension(deadline);
            match woken {
                Woken::Client(message) => self.client(message),
                Woken::Worker(worker, message) => self.worker_message(worker, message),
                Woken::Store(event) => self.store_event(event),
                Woken::StoreDue => self.maintain_store(),
                Woken::WeightsOffered => {}
                Woken::Deadline => self.deadline_passed(),
                Woken::Watchdog => self.notifier.send_due(!self.workers.are_stuck(Instant::now())),
                Woken::HangUp => tracing::info!(
                    event = events::RELOAD_IGNORED,
                    "SIGHUP: a new configuration needs a restart"
                ),
                Woken::Terminate if self.stop_by.is_none() => {
                    if acceptor.is_kept_open {
                        acceptor.task.abort();
                    }
                    self.shut_down();
                }
                Woken::Terminate | Woken::StopNow => self.stop_now(),
            }
        }
        acceptor.task.abort();
        self.close_store().await;
        self.dismiss(&mut clients);
        self.end_workers().await;
        Ok(())
    }

    /// When each worker's deadline passes.
    fn deadlines(&self) -> impl Iterator<Item = (WorkerId, Instant)> {
        self.workers.iter().filter_map(|slot| {
            let step = self.jobs.step_at_most(slot.id, slot.model.as_ref());
            Some((slot.id, slot.lifecycle.deadline(step)?))
        })
    }

    fn deadline_passed(&mut self) {
        let now = Instant::now();
        let passed: Vec<_> = self.deadlines().filter(|(_, at)| *at <= now).collect();
        for (worker, _) in passed {
            self.happened(worker, WorkerInput::TimeUp);
        }
    }

    /// A deadline that passed long ago, whatever woke the loop: the daemon was stopped, or the whole
    /// machine was, and the workers may have been too.
    fn excuse_suspension(&mut self, deadline: Option<Instant>) {
        let now = Instant::now();
        let late = deadline.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if late >= self.config.timeouts.suspended {
            let late_s = late.as_secs();
            tracing::info!(
                event = events::SUSPENSION_EXCUSED,
                late_s,
                "the daemon was suspended for {late_s} s; timeouts are reset"
            );
            self.workers.iter_mut().for_each(|slot| slot.lifecycle.excuse(now));
        }
    }

    /// After every message: the next jobs get their images from the store, ready workers get the next
    /// jobs, batch jobs make room for interactive
    /// ones, sleeping workers are woken for jobs, and waiting clients learn why they wait.
    fn dispatch(&mut self) {
        if self.stop_by.is_none() {
            let effects = self.jobs.fetch_inputs();
            self.perform(effects);
            for worker in self.workers.ids() {
                let Some(slot) = self.workers.get(worker) else { continue };
                match slot.lifecycle.phase() {
                    WorkerPhase::Ready => {
                        let effects = self.jobs.dispatch(worker, slot.model.as_ref());
                        self.perform(effects);
                    }
                    WorkerPhase::Asleep | WorkerPhase::Draining if self.jobs.waiting() > 0 => {
                        self.happened(worker, WorkerInput::Wake);
                    }
                    _ => {}
                }
            }
            let workers = &self.workers;
            let effects = self.jobs.preempt(|worker| {
                let slot = workers.get(worker);
                slot.is_some_and(|s| matches!(s.lifecycle.phase(), WorkerPhase::Busy { .. }))
            });
            self.perform(effects);
        }
        let state = self.workers.state();
        if self.stop_by.is_none() {
            self.notifier.worker(&state);
        }
        let effects = self.jobs.announce(&state);
        self.perform(effects);
    }
}

/// Waits until then, or for ever.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests;
