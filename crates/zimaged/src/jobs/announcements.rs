//! What waiting clients and new subscribers are told.

use zimg_protocol::messages::{Event, JobId, Waiting, WorkerState};

use super::effect::Effect;
use super::listing::position;
use super::refusal::Refusal;
use super::state::JobPhase;
use super::{JobTable, ROOT};

impl JobTable {
    /// Clients whose jobs wait learn why, if that is news: the workers' state, unless one serves,
    /// then the position in the queue.
    pub(crate) fn announce(&mut self, workers: &WorkerState) -> Vec<Effect> {
        // After every message: nothing is cloned while no job waits.
        if self.queue.waiting() == 0 {
            return Vec::new();
        }
        let ready = matches!(workers, WorkerState::Ready | WorkerState::Busy { .. });
        let mut effects = Vec::new();
        for (id, position) in self.queue.positions() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let waiting = match (ready, &job.phase) {
                (false, _) => Waiting::Worker(workers.clone()),
                (true, JobPhase::Preempted) => Waiting::Preempted { position },
                (true, _) => Waiting::Queue { position },
            };
            if job.announced.as_ref() != Some(&waiting) {
                job.announced = Some(waiting.clone());
                effects.push(job.tell(Event::Waiting(waiting)));
            }
        }
        effects
    }

    /// The detached job of this user, or of any for root. Whether another user has such a job is
    /// not revealed.
    pub(crate) fn own_detached(&self, uid: u32, id: JobId) -> Result<JobId, Refusal> {
        let job = self.get(id).filter(|job| job.is_detached());
        if job.is_some_and(|job| job.owner.uid == uid || uid == ROOT) {
            return Ok(id);
        }
        if !self.store.is_open() {
            return Err(self.store.why_closed());
        }
        Err(match uid {
            ROOT => Refusal::NoDetachedJob(id),
            _ => Refusal::NoOwnDetachedJob(id),
        })
    }

    /// What a new subscriber of an unfinished detached job is told first.
    pub(crate) fn introduction(&self, id: JobId) -> Vec<Event> {
        let Some(job) = self.get(id) else { return Vec::new() };
        let stored = job.stored().and_then(|stored| stored.started.as_ref());
        let running = matches!(job.phase, JobPhase::Running(_));
        let waiting = match &job.phase {
            JobPhase::Blocked(failure) => Some(Waiting::Disk(failure.clone())),
            phase if phase.is_scheduled() && !running => job.announced.clone(),
            _ => None,
        };
        let scheduled = job.progress.shape().filter(|_| job.phase.is_scheduled());
        let position = position(&self.queue.positions(), id);
        let first = [
            Event::Asked(Box::new(job.request.params.clone())),
            Event::Accepted { job: id, position },
        ];
        let then = [scheduled.or(stored).cloned().map(Event::Started), waiting.map(Event::Waiting)];
        first.into_iter().chain(then.into_iter().flatten()).collect()
    }
}
