//! Those who wait for a detached job: they hear what happens to it, and get its images from the
//! disk. The job does not depend on them.

use tokio::task::AbortHandle;
use zimg_protocol::messages::{Event, JobId, Waiting};
use zimg_protocol::{Failure, Kind};

use super::feed::Feed;
use super::requests::ROOT;
use super::{Client, Supervisor, shutting_down};
use crate::outbox::ClientId;

/// What a client waits for.
#[derive(Debug)]
pub(super) struct Subscription {
    pub job: JobId,
    delivery: AbortHandle,
}

/// A client that is gone takes nothing any more.
impl Drop for Subscription {
    fn drop(&mut self) {
        self.delivery.abort();
    }
}

impl Supervisor {
    /// A user's detached job, or anybody's for root. Whether there is such a job of somebody
    /// else's is none of his business.
    pub(super) fn own_detached(&self, uid: u32, job: JobId) -> Result<JobId, Failure> {
        let owner = self.store.jobs.get(job).map(|entry| entry.uid);
        if owner.is_some_and(|owner| owner == uid || uid == ROOT) {
            return Ok(job);
        }
        if self.store.open != Some(true) {
            return Err(self.store.closed());
        }
        let message = match uid {
            ROOT => format!("there is no detached job {job}"),
            _ => format!("you have no detached job {job}"),
        };
        Err(Failure::new(Kind::Refused, message).hint("`zimg jobs` lists them"))
    }

    /// Follows a job; the answer when there is nothing to follow.
    pub(super) fn wait(&mut self, id: ClientId, uid: u32, job: JobId) -> Option<Event> {
        if self.stop_by.is_some() {
            return Some(Event::Failed(shutting_down()));
        }
        let job = match self.own_detached(uid, job) {
            Ok(job) => job,
            Err(failure) => return Some(Event::Failed(failure)),
        };
        let (entry, client) = (self.store.jobs.get(job)?, self.clients.get_mut(&id)?);
        let ended = entry.has_ended();
        client.outbox.expect_answer();
        if !ended {
            let drawn = self.jobs.get(&job);
            let shape = drawn.and_then(|job| job.progress.shape()).or(entry.started.as_ref());
            let waits = drawn.filter(|_| self.queue.running() != Some(job));
            for event in [
                Some(Event::Asked(Box::new(entry.submit.params.clone()))),
                Some(Event::Accepted { job, position: position(&self.queue.positions(), job) }),
                // Of the images that are there it is told as well.
                shape.cloned().map(Event::Started),
                entry.held.clone().map(|failure| Event::Waiting(Waiting::Disk(failure))),
                waits.and_then(|job| job.told.clone()).map(Event::Waiting),
            ] {
                event.into_iter().for_each(|event| client.outbox.event(event));
            }
        }
        let delivery = Feed {
            client: id,
            job,
            outbox: client.outbox.clone(),
            store: self.store.handle.clone(),
            shown: entry.shown.subscribe(),
            supervisor: self.store.to_supervisor.clone(),
        };
        let delivery = tokio::spawn(delivery.run(ended)).abort_handle();
        client.subscription = Some(Subscription { job, delivery });
        None
    }

    /// Those who wait for a job.
    pub(super) fn followers(&self, job: JobId) -> impl Iterator<Item = &Client> {
        let follows = move |client: &&Client| {
            client.subscription.as_ref().is_some_and(|subscription| subscription.job == job)
        };
        self.clients.values().filter(follows)
    }

    /// Those who wait for a job hear what happens to it.
    pub(super) fn tell_followers(&self, job: JobId, event: &Event) {
        let held = self.store.jobs.get(job).is_some_and(|entry| entry.held.is_some());
        // A worker that still draws a job that waits for the disk does so for nobody.
        if !held || matches!(event, Event::Waiting(Waiting::Disk(_))) {
            for follower in self.followers(job) {
                follower.outbox.event(event.clone());
            }
        }
    }

    /// A client has all that there is, if it still waits for that job.
    pub(super) fn delivered(&mut self, id: ClientId, job: JobId, end: Event) {
        if let Some(client) = self.clients.get_mut(&id)
            && client.subscription.take_if(|subscription| subscription.job == job).is_some()
        {
            client.outbox.event(end);
        }
    }

    /// A client does not wait any longer; the job goes on.
    pub(super) fn leave(&mut self, id: ClientId, failure: Failure) {
        if let Some(client) = self.clients.get_mut(&id)
            && client.subscription.take().is_some()
        {
            client.outbox.event(Event::Failed(failure));
        }
    }

    /// Nobody waits for this job any longer.
    pub(super) fn leave_all(&mut self, job: JobId, failure: &Failure) {
        for client in self.clients.values_mut() {
            if client.subscription.take_if(|subscription| subscription.job == job).is_some() {
                client.outbox.event(Event::Failed(failure.clone()));
            }
        }
    }

    /// The daemon ends: what is detached stays as it is, and goes on with the next one.
    pub(super) fn leave_detached(&mut self) {
        let jobs = self.clients.values().filter_map(|client| client.subscription.as_ref());
        for job in jobs.map(|subscription| subscription.job).collect::<Vec<_>>() {
            self.leave_all(job, &shutting_down());
        }
        if let Some(job) = self.queue.running().filter(|job| self.is_detached(*job)) {
            self.queue.finish();
            self.jobs.remove(&job);
        }
    }

    /// Whether a job is kept.
    pub(super) fn is_detached(&self, job: JobId) -> bool {
        self.store.jobs.get(job).is_some()
    }
}

/// How many jobs are before this one.
pub(super) fn position(positions: &[(JobId, u32)], job: JobId) -> u32 {
    positions.iter().find(|(other, _)| *other == job).map_or(0, |(_, position)| *position)
}
