//! The one owner of the daemon's state: clients, jobs, the worker. It receives messages and never
//! waits for anybody.
//!
//! What clients ask is in `clients`, what the worker says in `reports`, the worker's life in
//! `work`, the end of it all in `end`, and what it tells about itself in `overview`.

mod blocked;
mod detached;
mod feed;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod reports;
mod requests;
mod shutdown;
mod status;
mod store;
mod subscriptions;
mod workers;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;
use zimage_checkpoint::ModelLocation;
use zimg_protocol::messages::{Event, JobId, Places, Request, Timings};
use zimg_protocol::{Failure, Kind};

#[cfg(feature = "fuzzing")]
pub(crate) use self::fuzzing::conversation;
use self::status::Tally;
use self::store::StoreHandle;
use self::subscriptions::Subscription;
use self::workers::Worker;
use crate::jobs::detached::Retention;
use crate::jobs::job::Job;
use crate::outbox::{ClientId, Outbox};
use crate::scheduler::estimates::Estimates;
use crate::scheduler::queue::{Limits, Queue};
use crate::store::StoreEvent;
use crate::systemd::Notifier;
use crate::timeouts::Timeouts;
use crate::workers::lifecycle::Lifecycle;
use crate::workers::lifecycle::state::Input;
use crate::workers::link::{FromWorker, UNHEARD_MAX};
use crate::workers::process::WorkerCommand;
use crate::workers::retained_weights::RetainedWeights;

/// Messages of clients that may wait for the supervisor.
pub(crate) const MESSAGES_MAX: usize = 64;

/// What comes from clients.
#[derive(Debug)]
pub(crate) enum FromClient {
    /// A connection is open.
    Joined { id: ClientId, uid: u32, outbox: Outbox },
    /// It asks something.
    Asked { id: ClientId, request: Request },
    /// It asked something that this version does not take.
    Refused { id: ClientId, failure: Failure },
    /// It is closed.
    Left { id: ClientId },
}

#[derive(Debug)]
struct Client {
    uid: u32,
    outbox: Outbox,
    /// Its unfinished job.
    job: Option<JobId>,
    /// The detached job that it waits for.
    subscription: Option<Subscription>,
}

/// What a supervisor is told at its beginning.
#[derive(Debug)]
pub(crate) struct SupervisorConfig {
    /// The configuration file that was read.
    pub config: Option<PathBuf>,
    /// The model that workers load.
    pub model: ModelLocation,
    /// How a worker is started; without a plan every job is refused with this failure.
    pub plan: Result<WorkerCommand, Failure>,
    /// How much is taken at a time.
    pub places: Places,
    /// The worker is ended when nothing was asked for so long.
    pub idle_unload: Option<Duration>,
    pub timeouts: Timeouts,
    /// Where detached jobs are kept, or why nowhere.
    pub folder: Result<PathBuf, Failure>,
    /// How much of them, and how long.
    pub terms: Retention,
    /// Weights that a daemon before this one left.
    pub weights: RetainedWeights,
}

/// Where clients come in.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// Lets them in.
    pub accepting: AbortHandle,
    /// A service manager listens on when this daemon does no more, for the next one.
    pub is_kept_open: bool,
}

/// The daemon's state.
#[derive(Debug)]
pub(crate) struct Supervisor {
    config: SupervisorConfig,
    started: Instant,
    clients: HashMap<ClientId, Client>,
    queue: Queue,
    jobs: HashMap<JobId, Job>,
    store: StoreHandle,
    life: Lifecycle,
    worker: Worker,
    from_worker: mpsc::Receiver<FromWorker>,
    estimates: Estimates,
    tally: Tally,
    /// Who waits for the worker to be asleep.
    sleepers: Vec<ClientId>,
    /// Until when the running job may go on, once the daemon ends.
    stop_by: Option<Instant>,
    notifier: Notifier,
}

/// What woke the supervisor.
enum Woken {
    Client(FromClient),
    Worker(FromWorker),
    Store(StoreEvent),
    Look,
    Weights,
    TimeUp,
    Watchdog,
    Terminate,
    HangUp,
    StopNow,
}

impl Supervisor {
    /// A supervisor that has started nothing yet, but looking for what is kept.
    ///
    /// # Errors
    ///
    /// There is no room for a thread.
    pub(crate) fn new(mut config: SupervisorConfig) -> std::io::Result<Self> {
        let store = StoreHandle::start(config.folder.clone(), config.terms)?;
        let (to_supervisor, from_worker) = mpsc::channel(UNHEARD_MAX);
        let now = Instant::now();
        // Two daemons on one machine do not wait in step.
        let seed = std::process::id().into();
        Ok(Self {
            started: now,
            clients: HashMap::new(),
            queue: Queue::new(Limits {
                total: config.places.jobs as usize,
                per_user: config.places.jobs_per_user as usize,
            }),
            jobs: HashMap::new(),
            store,
            life: Lifecycle::new(config.timeouts, config.idle_unload, seed, now),
            worker: Worker::new(to_supervisor, std::mem::take(&mut config.weights), now),
            from_worker,
            estimates: Estimates::default(),
            tally: Tally::default(),
            sleepers: Vec::new(),
            stop_by: None,
            notifier: Notifier::new(sd_notify::watchdog_enabled()),
            config,
        })
    }

    /// Works until told to end by SIGTERM or SIGINT; then the running job may finish, while who
    /// comes is told why nothing is drawn, or waits at the acceptor for the next daemon. The worker is
    /// gone when this returns. A second signal cuts it short.
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
        self.spawn();
        self.open_store().await;
        loop {
            self.settle();
            if self.stop_by.is_some() && self.queue.running().is_none() {
                break;
            }
            let deadline = self.deadline();
            let woken = tokio::select! {
                Some(message) = clients.recv() => Woken::Client(message),
                Some(message) = self.from_worker.recv() => Woken::Worker(message),
                Some(answer) = self.store.answers.recv() => Woken::Store(answer),
                () = at(Some(self.store.next_look)) => Woken::Look,
                () = self.worker.kept.heard() => Woken::Weights,
                () = at(deadline) => Woken::TimeUp,
                () = at(self.notifier.next_ping()) => Woken::Watchdog,
                () = at(self.stop_by) => Woken::StopNow,
                () = either(&mut terminate, &mut interrupt) => Woken::Terminate,
                _ = hang_up.recv() => Woken::HangUp,
            };
            match woken {
                Woken::Client(message) => self.client(message),
                Woken::Worker(message) => self.heard(message),
                Woken::Store(answer) => self.kept(answer),
                Woken::Look => self.look_after_kept(),
                Woken::Weights => {}
                Woken::TimeUp => self.time_up(deadline),
                Woken::Watchdog => self.notifier.ping(!self.life.is_stuck(Instant::now())),
                Woken::HangUp => tracing::info!("SIGHUP: a new configuration needs a restart"),
                Woken::Terminate if self.stop_by.is_none() => {
                    if acceptor.is_kept_open {
                        acceptor.accepting.abort();
                    }
                    self.stop();
                }
                Woken::Terminate | Woken::StopNow => self.stop_now(),
            }
        }
        acceptor.accepting.abort();
        self.close_store().await;
        self.dismiss(&mut clients);
        self.end_worker().await;
        Ok(())
    }

    /// When the worker's deadline passes.
    fn deadline(&self) -> Option<Instant> {
        let job = self.queue.running().and_then(|job| self.jobs.get(&job));
        let shape = job.and_then(|job| job.shape(self.worker.model.as_ref()));
        self.life.deadline(shape.and_then(|shape| self.estimates.step_at_most(shape)))
    }

    fn time_up(&mut self, deadline: Option<Instant>) {
        let now = Instant::now();
        let late = deadline.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if late >= self.config.timeouts.suspended {
            // Stopped, or the whole machine was: the worker may have been too.
            tracing::info!("did not run for {} s; deadlines begin anew", late.as_secs());
            self.life.excuse(now);
        } else {
            self.happened(Input::TimeUp);
        }
    }

    /// After every message: a ready worker gets the next job, one that draws makes room for a
    /// more urgent one, one that sleeps is woken, and who waits learns why.
    fn settle(&mut self) {
        if self.stop_by.is_none() {
            self.hand_out();
        }
        self.tell_who_waits();
        if self.stop_by.is_none() {
            self.notifier.worker(&self.life.told(Instant::now()));
        }
    }

    fn tell(&self, job: JobId, event: Event) {
        self.tell_followers(job, &event);
        let client = self.jobs.get(&job).and_then(|job| job.client);
        if let Some(client) = client.and_then(|client| self.clients.get(&client)) {
            client.outbox.event(event);
        }
    }

    /// A job's only end: the queue, the counters, the log and the client learn of it. A job that
    /// has ended already is left in peace.
    fn end(&mut self, job: JobId, result: Result<Timings, Failure>) {
        let Some(ended) = self.jobs.remove(&job) else { return };
        if self.queue.running() == Some(job) {
            self.queue.finish();
        } else {
            self.queue.remove(job);
        }
        if self.store.jobs.get(job).is_some_and(|kept| kept.held.is_some() || kept.has_ended()) {
            // It was ended before, for the worker to hear of it.
            return;
        }
        ended.log(&result);
        self.tally.ended(&result);
        if self.is_detached(job) {
            return self.end_detached(job, result.map(|timings| ended.timings(timings)));
        }
        let event = match result {
            Ok(timings) => Event::Done(ended.timings(timings)),
            Err(failure) => Event::Failed(failure),
        };
        if let Some(client) = ended.client.and_then(|client| self.clients.get_mut(&client)) {
            client.job = None;
            client.outbox.event(event);
        }
    }
}

fn shutting_down() -> Failure {
    Failure::new(Kind::Busy, "zimaged is shutting down").hint("try again once it is back")
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
