//! The job table: every job that is unfinished or retained, the queue, and the only transitions
//! between a job's states.
//!
//! A transition takes what happened and returns [`Effect`]s, which the supervisor performs: no
//! process, socket or disk is touched here. Attached and detached jobs are one type ([`Job`]) that
//! differs in its [`Delivery`].

mod announcements;
mod attempts;
mod cancellation;
mod detached;
mod dispatch;
mod effect;
mod id;
mod input_pixels;
mod inputs;
mod job;
mod listing;
mod progress;
mod refusal;
mod reports;
mod retention;
mod state;
mod store_status;
mod submission;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use zimg_protocol::Failure;
use zimg_protocol::messages::{Event, JobId, ModelInfo, Timings};

pub(crate) use self::effect::Effect;
pub(crate) use self::job::{Delivery, Job, Published};
pub(crate) use self::listing::JobCounts;
pub(crate) use self::refusal::Refusal;
pub(crate) use self::state::JobPhase;

use self::id::JobIds;
use self::retention::StoreAge;
use self::store_status::StoreStatus;
use crate::outbox::ClientId;
use crate::retention::Retention;
use crate::scheduler::estimates::{Estimates, Shape};
use crate::scheduler::queue::{Queue, QueueLimits};
use crate::store::{JobEnd, StoreRequest};
use crate::workers::WorkerId;

/// Root, to whom all jobs are shown.
pub(crate) const ROOT: u32 = 0;

/// All jobs. A job is in `jobs` and nowhere else; the queue holds tickets of those that are to run
/// and follows `enter`.
#[derive(Debug)]
pub(crate) struct JobTable {
    jobs: BTreeMap<JobId, Job>,
    queue: Queue,
    /// Of each worker's device.
    estimates: BTreeMap<WorkerId, Estimates>,
    ids: JobIds,
    retention: Retention,
    age: StoreAge,
    store: StoreStatus,
    /// Clients that are answered once a job is deleted.
    deletions: Vec<(JobId, ClientId)>,
    counts: JobCounts,
}

impl JobTable {
    /// An empty table.
    pub(crate) fn new(limits: QueueLimits, retention: Retention) -> Self {
        Self {
            jobs: BTreeMap::new(),
            queue: Queue::new(limits),
            estimates: BTreeMap::new(),
            ids: JobIds::default(),
            retention,
            age: StoreAge::new(0),
            store: StoreStatus::default(),
            deletions: Vec::new(),
            counts: JobCounts::default(),
        }
    }

    /// A job.
    pub(crate) fn get(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// The job whose images go to this connection.
    pub(crate) fn of_client(&self, client: ClientId) -> Option<JobId> {
        let own = |job: &&Job| matches!(job.delivery, Delivery::Connection(to) if to == client);
        self.jobs.values().find(own).map(|job| job.id)
    }

    /// The job that a worker runs.
    pub(crate) fn running_on(&self, worker: WorkerId) -> Option<&Job> {
        self.queue.running_on(worker).and_then(|id| self.jobs.get(&id))
    }

    /// How many workers run a job.
    pub(crate) fn running(&self) -> usize {
        self.queue.running().count()
    }

    /// How many jobs wait for a worker.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// How many jobs count against the queue's limits.
    pub(crate) fn unfinished(&self) -> usize {
        self.queue.unfinished()
    }

    /// What a subscriber of a detached job is given as it comes.
    pub(crate) fn published(&self, id: JobId) -> Option<watch::Receiver<Published>> {
        Some(self.get(id)?.stored()?.published.subscribe())
    }

    /// How long a step of this worker's job takes at most, if that can be estimated.
    pub(crate) fn step_at_most(
        &self,
        worker: WorkerId,
        model: Option<&ModelInfo>,
    ) -> Option<Duration> {
        let shape = self.running_on(worker)?.shape(model)?;
        self.estimates.get(&worker)?.step_at_most(shape)
    }

    /// The size that the next worker to start is asked for first.
    pub(crate) fn next_shape(&self, model: &ModelInfo) -> Option<Shape> {
        self.get(*self.queue.order().first()?)?.shape(Some(model))
    }

    /// A worker has warmed up at its model's own size.
    pub(crate) fn warmed_up(&mut self, worker: WorkerId, model: &ModelInfo, took: Duration) {
        self.estimates.entry(worker).or_default().warm_up(model.width, model.height, took);
    }

    fn detached(&self) -> impl Iterator<Item = &Job> + Clone {
        self.jobs.values().filter(|job| job.is_detached())
    }

    /// Adds a job, in its phase.
    fn insert(&mut self, job: Job) {
        let (id, phase) = (job.id, job.phase.clone());
        self.jobs.insert(id, job);
        self.enter(id, phase);
    }

    /// The only way from one phase to another. The queue follows: a job that loses its worker is
    /// the next of its priority, any other waits behind its user's.
    fn enter(&mut self, id: JobId, phase: JobPhase) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let ticket = job.ticket();
        match &phase {
            JobPhase::Running(run) if self.queue.running_on(run.worker) == Some(id) => {}
            _ => {
                self.queue.remove(id);
            }
        }
        match &phase {
            JobPhase::Accepting(_) => self.queue.reserve(ticket),
            JobPhase::Waiting | JobPhase::Preempted => match job.phase {
                JobPhase::Running(_) => self.queue.push_front(ticket),
                _ => self.queue.push_back(ticket),
            },
            _ => {}
        }
        job.phase = phase;
    }

    fn remove(&mut self, id: JobId) -> Option<Job> {
        self.queue.remove(id);
        self.jobs.remove(&id)
    }

    /// A job's work has ended. An attached one is gone; of a detached one the store is to know.
    fn end(&mut self, id: JobId, result: Result<Timings, Failure>) -> Vec<Effect> {
        let Some(job) = self.jobs.get(&id) else { return Vec::new() };
        if job.phase.has_ended() {
            return Vec::new();
        }
        if job.phase.is_scheduled() {
            job.log(&result);
            self.counts.ended(&result);
        }
        let result = result.map(|timings| job.timings(timings));
        if job.is_detached() {
            return self.end_detached(id, result);
        }
        let event = result.map_or_else(Event::Failed, Event::Done);
        self.remove(id).map(|job| job.tell(event)).into_iter().collect()
    }

    /// The end of a job is to be stored.
    fn store_end(&mut self, id: JobId, result: Result<Timings, Failure>) -> Effect {
        let end = JobEnd { result, lived_s: self.age.seconds() };
        self.enter(id, JobPhase::Ending(end.clone()));
        Effect::Store(StoreRequest::End { job: id, end })
    }
}

#[cfg(test)]
mod tests;
