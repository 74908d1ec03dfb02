//! Detached jobs from their beginning to their end.
//!
//! A detached job is in the queue as any other while it is to be drawn. Its images go to the
//! disk, and from there to whoever waits for them (`subscription`).

use std::time::{SystemTime, UNIX_EPOCH};

use zimg_protocol::messages::{Event, Generate, ImageInfo, JobId, Timings};
use zimg_protocol::{Failure, Kind};

use super::Supervisor;
use super::requests::needed;
use super::subscriptions::position;
use crate::jobs::detached::DetachedJob;
use crate::jobs::job::{Job, cancelled};
use crate::outbox::ClientId;
use crate::scheduler::queue::Ticket;
use crate::store::{JobEnd, JobRecord, StoreRequest, StoredImage};

/// Bytes of images on their way to the disk, beyond which a job waits for it.
const UNDER_WAY_MAX: u64 = 24 << 20;

impl Supervisor {
    /// Keeps a job that has a place in the queue; it is accepted when it is on the disk.
    pub(super) fn detach(&mut self, id: ClientId, ticket: Ticket, submit: Generate) {
        let accepted = SystemTime::now().duration_since(UNIX_EPOCH);
        let record =
            JobRecord::new(ticket.uid, submit, accepted.map_or(0, |since| since.as_secs()));
        let job = ticket.job;
        let entry = DetachedJob::new(record.clone(), self.worker.model.as_ref());
        self.store.jobs.insert(job, entry);
        self.store.accepting.push((job, id));
        if let Some(client) = self.clients.get(&id) {
            client.outbox.expect_answer();
        }
        self.store.handle.send(StoreRequest::Accept { job, record: Box::new(record) });
    }

    /// A number for a detached job of this user, if there is room for it.
    pub(super) fn room_to_keep(&mut self, uid: u32, submit: &Generate) -> Result<JobId, Failure> {
        if self.store.open != Some(true) {
            self.store.handle.send(StoreRequest::Open);
            return Err(self.store.closed());
        }
        self.store.jobs.room_for(uid, &submit.params, self.worker.model.as_ref())?;
        let number = self.store.numbers.next_for_ever();
        self.store.ask_for_numbers();
        number.ok_or_else(|| {
            let failure = Failure::new(Kind::Busy, "no detached job can be numbered now");
            self.store.trouble.clone().unwrap_or(failure.hint("try again"))
        })
    }

    /// A detached job goes on after what is kept of it.
    pub(super) fn draw_again(&mut self, job: JobId) {
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        if entry.images() >= entry.submit.params.images() {
            entry.drawn = Some(Timings::default());
            return self.finish_if_kept(job);
        }
        let ticket = Ticket { job, uid: entry.uid, priority: entry.submit.priority };
        let again = Job::again(ticket, &entry.submit, entry.images(), entry.accepted_unix_s);
        self.jobs.insert(job, again);
        self.queue.restore(ticket);
    }

    /// All images of a job are of one model: if an earlier daemon had another, they are all drawn
    /// anew.
    pub(super) fn one_model(&mut self, job: JobId) {
        let (Some(entry), Some(model)) = (self.store.jobs.get_mut(job), &self.worker.model) else {
            return;
        };
        let another = entry.started.take_if(|started| started.model.name != model.name);
        if let (Some(before), Some(drawing)) = (another, self.jobs.get_mut(&job)) {
            let (before, now) = (before.model.name, &model.name);
            let why = format!("job {job} begins anew: {before} drew it before, and now {now} does");
            tracing::info!("{why}");
            entry.shown.send_modify(|shown| shown.images.clear());
            drawing.progress.go_on_after(0);
            // Who waits may have images of both otherwise.
            self.leave_all(job, &Failure::new(Kind::Busy, why).hint("wait for it again"));
        }
    }

    pub(super) fn accepted(&mut self, job: JobId, result: Result<(), Failure>) {
        let place = self.store.accepting.iter().position(|(other, _)| *other == job);
        let client = place.map(|place| self.store.accepting.swap_remove(place).1);
        self.store.went(&result);
        let answer = match result {
            Ok(()) => {
                let Some(entry) = self.store.jobs.get(job) else { return };
                let ticket = Ticket { job, uid: entry.uid, priority: entry.submit.priority };
                let again = Job::again(ticket, &entry.submit, 0, entry.accepted_unix_s);
                self.jobs.insert(job, again);
                self.queue.admit(job);
                // Whoever asked for sleep did not know of this one.
                self.refuse_sleepers(&needed());
                Event::Accepted { job, position: position(&self.queue.positions(), job) }
            }
            Err(failure) => {
                tracing::warn!(job, "refused: {failure}");
                self.store.jobs.remove(job);
                self.queue.remove(job);
                self.tally.failed += 1;
                Event::Failed(failure)
            }
        };
        if let Some(client) = client.and_then(|client| self.clients.get(&client)) {
            client.outbox.event(answer);
            client.outbox.answered();
        }
    }

    /// The worker announces a detached job's image.
    pub(super) fn image_comes(&mut self, job: JobId, image: &ImageInfo) {
        if let Some(entry) = self.store.jobs.get_mut(job) {
            // The job has seen that it is a possible size.
            let room = usize::try_from(image.bytes).unwrap_or_default();
            entry.arriving = Some((image.clone(), Vec::with_capacity(room)));
        }
    }

    /// Pixels of a detached job's image: to the disk when they are all there.
    pub(super) fn pixels_to_keep(&mut self, job: JobId, chunk: &[u8], whole: bool) {
        let started = self.jobs.get(&job).and_then(|job| job.progress.shape()).cloned();
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        if let Some((_, pixels)) = &mut entry.arriving {
            pixels.extend_from_slice(chunk);
        }
        if whole && let (Some((image, pixels)), Some(started)) = (entry.arriving.take(), started) {
            entry.under_way += image.bytes;
            entry.started = Some(started.clone());
            self.store.handle.send(StoreRequest::StoreImage { job, started, image, pixels });
            let under_way: u64 = self.store.jobs.iter().map(|(_, entry)| entry.under_way).sum();
            if under_way > UNDER_WAY_MAX {
                self.hold(job, Failure::new(Kind::Io, "the disk is slower than the worker"));
            }
        }
    }

    pub(super) fn stored(&mut self, job: JobId, bytes: u64, result: Result<StoredImage, Failure>) {
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        entry.under_way = entry.under_way.saturating_sub(bytes);
        match result {
            Ok(kept) => {
                entry.shown.send_modify(|shown| {
                    shown.images.truncate(kept.image.index as usize);
                    shown.images.push(kept);
                });
                self.finish_if_kept(job);
                self.probe();
            }
            Err(failure) => self.hold(job, failure),
        }
    }

    /// A detached job has no more to be drawn, or will not be.
    pub(super) fn end_detached(&mut self, job: JobId, result: Result<Timings, Failure>) {
        let lived_s = self.store.jobs.lived_s();
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        match result {
            Ok(timings) => {
                entry.drawn = Some(timings);
                self.finish_if_kept(job);
            }
            Err(failure) if failure.kind == Kind::Cancelled => {
                entry.end(Err(failure), lived_s);
                let images = entry.submit.params.images();
                self.store.handle.send(StoreRequest::Delete { job, images });
            }
            Err(failure) => self.end_kept(job, Err(failure)),
        }
    }

    /// A job that is drawn has ended when all its images are kept.
    fn finish_if_kept(&mut self, job: JobId) {
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        if entry.held.is_none()
            && entry.images() == entry.submit.params.images()
            && let Some(timings) = entry.drawn.take()
        {
            self.end_kept(job, Ok(timings));
        }
    }

    fn end_kept(&mut self, job: JobId, result: Result<Timings, Failure>) {
        let lived_s = self.store.jobs.lived_s();
        if let Some(entry) = self.store.jobs.get_mut(job) {
            let end = JobEnd { result, lived_s };
            entry.ending = Some(end.clone());
            self.store.handle.send(StoreRequest::End { job, end });
        }
    }

    pub(super) fn ended(&mut self, job: JobId, result: Result<(), Failure>) {
        self.store.went(&result);
        if let Err(failure) = result {
            // At worst the next daemon finds it unfinished, and draws what is not there.
            tracing::warn!(job, "its end is not kept: {failure}");
        }
        if let Some(entry) = self.store.jobs.get_mut(job)
            && let Some(JobEnd { result, lived_s }) = entry.ending.take()
        {
            entry.end(result, lived_s);
        }
    }

    /// An image is not what was kept: the job goes back to the ones before it.
    pub(super) fn damaged(&mut self, job: JobId, image: u32) {
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        // Only once, if several wait for it.
        if entry.images() > image && !self.jobs.contains_key(&job) {
            entry.shown.send_modify(|shown| {
                shown.images.truncate(image as usize);
                shown.end = None;
            });
            (entry.ended_s, entry.drawn, entry.ending) = (None, None, None);
            self.store.handle.send(StoreRequest::Truncate { job, images: image });
        }
    }

    pub(super) fn unfinished(&mut self, job: JobId, result: Result<Box<JobRecord>, Failure>) {
        let lived_s = self.store.jobs.lived_s();
        let Some(entry) = self.store.jobs.get_mut(job) else { return };
        match result {
            Ok(record) => {
                entry.submit = record.submit;
                self.draw_again(job);
            }
            Err(failure) => entry.end(Err(failure), lived_s),
        }
    }

    pub(super) fn forgotten(&mut self, job: JobId, result: Result<(), Failure>) {
        self.store.went(&result);
        let answer = match result {
            Ok(()) => {
                self.store.jobs.remove(job);
                Event::Acknowledged
            }
            Err(failure) => {
                tracing::warn!(job, "is not forgotten: {failure}");
                Event::Failed(failure)
            }
        };
        for (_, client) in self.store.forgetting.extract_if(.., |(other, _)| *other == job) {
            if let Some(client) = self.clients.get(&client) {
                client.outbox.event(answer.clone());
            }
        }
    }

    /// Forgets a job that has ended; whoever asked is answered when it is gone.
    pub(super) fn forget(&mut self, id: ClientId, job: JobId) {
        let Some(entry) = self.store.jobs.get(job) else { return };
        let images = entry.submit.params.images();
        self.store.handle.send(StoreRequest::Delete { job, images });
        self.store.forgetting.push((job, id));
        if let Some(client) = self.clients.get(&id) {
            client.outbox.expect_answer();
        }
    }

    /// A detached job ends because somebody does not want it any more.
    pub(super) fn cancel_detached(&mut self, job: JobId) {
        let held = self.store.jobs.get(job).is_some_and(|entry| entry.held.is_some());
        if self.jobs.contains_key(&job) && !held {
            self.cancel(job);
        } else {
            // It is held, or its last images are on their way to the disk.
            self.end_detached(job, Err(cancelled()));
        }
    }
}
