//! Detached jobs whose images the disk does not take: they make room for others, and go on when
//! it does.

use zimg_protocol::Failure;
use zimg_protocol::messages::{Command, Event, JobId, Waiting};

use super::Supervisor;
use crate::jobs::detached::DetachedJob;
use crate::store::StoreRequest;

impl Supervisor {
    /// A job's images cannot be kept for now: it makes room for others, and is drawn on when
    /// they can.
    pub(super) fn hold(&mut self, job: JobId, failure: Failure) {
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        if entry.held.replace(failure.clone()).is_some() {
            return;
        }
        entry.drawn = None;
        tracing::warn!(job, "waits for the disk: {failure}");
        self.store.trouble = Some(failure.clone());
        self.tell(job, Event::Waiting(Waiting::Disk(failure)));
        self.drop_unfinished(job);
    }

    /// Nobody draws a job any longer. If a worker is at it, that ends at the next step, and is
    /// then of no interest.
    pub(super) fn drop_unfinished(&mut self, job: JobId) {
        if self.queue.running() != Some(job) {
            self.queue.remove(job);
            self.jobs.remove(&job);
        } else if let (Some(running), Some(link)) = (self.jobs.get_mut(&job), &self.worker.link)
            && !running.cancelled
        {
            running.cancelled = true;
            link.command(Command::Cancel { job });
        }
    }

    /// Tries the disk for the job with the smallest images of those that wait for it.
    pub(super) fn probe(&self) {
        // One that a worker is still at is not yet free to go on.
        let may_go_on = |(job, entry): &(JobId, &DetachedJob)| {
            entry.held.is_some() && entry.under_way == 0 && !self.jobs.contains_key(job)
        };
        let held = self.store.jobs.iter().filter(may_go_on);
        let sizes = held.map(|(job, entry)| (entry.image_bytes(), job));
        if let Some((bytes, job)) = sizes.min() {
            self.store.handle.send(StoreRequest::Probe { job, bytes });
        }
    }

    /// The disk was tried for this job, and is for the next when an image of this one is kept.
    pub(super) fn probed(&mut self, job: JobId, result: Result<(), Failure>) {
        if result.is_ok()
            && let Some(entry) = self.store.jobs.get_mut(job)
            && entry.held.take().is_some()
        {
            tracing::info!(job, "goes on");
            self.draw_again(job);
        }
        self.store.went(&result);
    }
}
