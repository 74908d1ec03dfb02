//! What users are told of the table: their jobs, its counters, and when jobs will have ended.

use std::time::Duration;

use zimg_protocol::limits::CHUNK_BYTES;
use zimg_protocol::messages::{
    Counters, Expiries, JobExpiry, JobId, JobInfo, ModelInfo, Priority, Timings,
};
use zimg_protocol::{Failure, Kind};

use super::job::Job;
use super::state::JobPhase;
use super::{JobTable, ROOT};
use crate::scheduler::forecast::Forecast;
use crate::scheduler::queue::Ticket;
use crate::workers::WorkerId;

/// Workers that serve jobs, each with its model.
pub(crate) type Serving<'a> = [(WorkerId, &'a ModelInfo)];

/// What a job takes in a list besides its prompt: the longest failure and the rest.
const LISTED_BYTES: usize = 1 << 10;

/// What happened to jobs since the daemon started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JobCounts {
    /// Jobs answered with `Done`.
    pub done: u64,
    /// Jobs answered with `Failed` or `Busy`.
    pub failed: u64,
    pub counters: Counters,
}

impl JobCounts {
    /// A job has its answer.
    pub(super) fn ended(&mut self, result: &Result<Timings, Failure>) {
        match result {
            Ok(_) => self.done += 1,
            Err(failure) => {
                self.failed += 1;
                self.counters.cancelled += u64::from(failure.kind == Kind::Cancelled);
            }
        }
    }

    /// A step was done.
    pub(super) fn step(&mut self, ms: f32) {
        self.counters.steps += 1;
        self.counters.step_seconds += f64::from(ms) / 1e3;
    }
}

impl JobTable {
    /// What happened so far.
    pub(crate) fn counts(&self) -> JobCounts {
        self.counts
    }

    /// A user's jobs, or all for root: in the order in which they get a worker, and then those
    /// that are not in the queue.
    pub(crate) fn list(&self, uid: u32, model: Option<&ModelInfo>) -> Vec<JobInfo> {
        let last = count(self.queue.unfinished());
        let running = self.queue.running().map(|(_, job)| (job, 0));
        let scheduled = running.chain(self.queue.positions());
        let others = self.jobs.values().filter(|job| !job.phase.is_scheduled());
        let others = others.map(|job| (job.id, last));
        scheduled
            .chain(others)
            .filter_map(|(id, position)| Some((self.get(id)?, position)))
            .filter(|(job, _)| job.owner.uid == uid || uid == ROOT)
            .map(|(job, position)| job.info(position, model))
            .scan(0, |bytes, info| {
                *bytes += info.prompt.len() + LISTED_BYTES;
                (*bytes <= CHUNK_BYTES).then_some(info)
            })
            .collect()
    }

    /// When the detached jobs of a user, or of all for root, expire that have ended.
    pub(crate) fn expiries(&self, uid: u32) -> Expiries {
        let (age_s, retention) = (self.age.seconds(), &self.retention);
        let retention_s = retention.time.as_secs();
        let own = self.detached().filter(|job| job.owner.uid == uid || uid == ROOT);
        let jobs = own.filter_map(|job| {
            let lived_s = age_s.saturating_sub(job.phase.ended_s()?);
            Some(JobExpiry { job: job.id, expires_in_s: retention_s.saturating_sub(lived_s) })
        });
        Expiries { retention_s, bytes_per_user: retention.bytes_per_user, jobs: jobs.collect() }
    }

    /// Detached jobs that have ended, without those that are just being deleted.
    pub(crate) fn retained(&self) -> usize {
        let ended = self.detached().filter(|job| job.phase.has_ended());
        ended.filter(|job| !is_cancelled(job)).count()
    }

    /// What a user is told about the state of the disk.
    pub(crate) fn store_trouble(&self) -> Option<Failure> {
        self.store.trouble()
    }

    /// In how long a job that this user submits now would begin, if that can be estimated.
    pub(crate) fn wait_for(&self, uid: u32, serving: &Serving<'_>) -> Option<Duration> {
        let next = Ticket { job: JobId::MAX, owner: uid.into(), priority: Priority::Interactive };
        let mut forecast = Forecast::new(serving.iter().map(|(worker, _)| *worker));
        self.forecast(&mut forecast, &self.queue.before(next), serving)?;
        forecast.next_free()
    }

    /// In how long each of these jobs will have ended, if that can be estimated.
    pub(super) fn ends_of(&self, jobs: &[JobId], serving: &Serving<'_>) -> Option<Vec<Duration>> {
        let mut forecast = Forecast::new(serving.iter().map(|(worker, _)| *worker));
        self.forecast(&mut forecast, jobs, serving)
    }

    fn forecast(
        &self,
        forecast: &mut Forecast,
        jobs: &[JobId],
        serving: &Serving<'_>,
    ) -> Option<Vec<Duration>> {
        let ends = jobs.iter().map(|id| {
            let job = self.get(*id)?;
            let runs_on = match &job.phase {
                JobPhase::Running(run) => Some(run.worker),
                _ => None,
            };
            forecast.add(runs_on, |worker| {
                let (_, model) = serving.iter().find(|(other, _)| *other == worker)?;
                job.time_left(Some(model), self.estimates.get(&worker)?)
            })
        });
        ends.collect()
    }
}

/// Whether a detached job was cancelled, so that it is to be deleted.
pub(super) fn is_cancelled(job: &Job) -> bool {
    matches!(&job.phase, JobPhase::Failed { failure, .. } if failure.kind == Kind::Cancelled)
}

/// How many jobs are before this one.
pub(super) fn position(positions: &[(JobId, u32)], job: JobId) -> u32 {
    positions.iter().find(|(other, _)| *other == job).map_or(0, |(_, position)| *position)
}

/// A count as messages have it.
pub(super) fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}
