//! Detached jobs whose pictures the disk does not take: they make room for others, and go on when
//! it does.

use zimg_protocol::Failure;
use zimg_protocol::messages::{Command, Event, JobId, Waiting};

use super::Supervisor;
use crate::kept::Entry;

impl Supervisor {
    /// A job's pictures cannot be kept for now: it makes room for others, and is drawn on when
    /// they can.
    pub(super) fn hold(&mut self, job: JobId, failure: Failure) {
        let Some(entry) = self.keeping.jobs.get_mut(job) else { return };
        if entry.held.replace(failure.clone()).is_some() {
            return;
        }
        entry.drawn = None;
        tracing::warn!(job, "waits for the disk: {failure}");
        self.keeping.trouble = Some(failure.clone());
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

    pub(super) fn probed(&mut self, result: Result<(), Failure>) {
        if result.is_err() {
            return self.keeping.went(&result);
        }
        let held = |entry: &Entry| entry.held.is_some() && entry.under_way == 0;
        let jobs = self.keeping.jobs.iter().filter(|(_, entry)| held(entry));
        let jobs = jobs.map(|(job, _)| job).filter(|job| !self.jobs.contains_key(job));
        for job in jobs.collect::<Vec<_>>() {
            if let Some(entry) = self.keeping.jobs.get_mut(job) {
                entry.held = None;
                tracing::info!(job, "goes on");
                self.draw_again(job);
            }
        }
        self.keeping.went(&Ok(()));
    }
}
