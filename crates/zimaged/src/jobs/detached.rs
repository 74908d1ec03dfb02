//! Detached jobs and the store: images on their way to the disk, a disk that takes none, ends,
//! damage, deletion and expiry.

use zimg_protocol::messages::{Event, JobId, ModelInfo, Timings, Waiting};
use zimg_protocol::{Failure, Kind};

use super::JobTable;
use super::effect::Effect;
use super::input_pixels::InputPixels;
use super::job::{Job, ended};
use super::listing::{is_cancelled, position};
use super::refusal::Refusal;
use super::retention::{StoreAge, has_expired};
use super::state::JobPhase;
use crate::events;
use crate::outbox::ClientId;
use crate::store::{JobRecord, StoreContents, StoreEvent, StoreRequest, StoredImage};

/// Bytes of images on their way to the disk, beyond which a job waits for it.
const UNSAVED_MAX: u64 = 24 << 20;

impl JobTable {
    /// Whether it is known what is stored.
    pub(crate) fn store_is_known(&self) -> bool {
        self.store.is_known()
    }

    /// The outcome of a request to the store.
    pub(crate) fn store_event(
        &mut self,
        event: StoreEvent,
        model: Option<&ModelInfo>,
    ) -> Vec<Effect> {
        match event {
            StoreEvent::Opened(Ok(contents)) => self.store_opened(contents, model),
            StoreEvent::Opened(Err(failure)) => {
                let config = failure.kind == Kind::Config;
                match self.store.closed(failure.clone()) {
                    true if config => tracing::info!(event = events::STORE_OFF, "{failure}"),
                    true => tracing::warn!(
                        event = events::STORE_UNAVAILABLE,
                        "no detached jobs: {failure}"
                    ),
                    false => {}
                }
                Vec::new()
            }
            StoreEvent::IdsReserved(result) => {
                self.observe(&result);
                self.ids.reserved(result.ok());
                Vec::new()
            }
            StoreEvent::Accepted { job, result } => self.accepted(job, result),
            StoreEvent::ImageStored { job, bytes, result } => self.image_stored(job, bytes, result),
            StoreEvent::Ended { job, result } => self.end_stored(job, result),
            StoreEvent::Truncated { job, result } => self.truncated(job, result),
            StoreEvent::Deleted { job, result } => self.deleted(job, result),
            StoreEvent::Probed { job, result } => self.probed(job, result),
            StoreEvent::InputsRead { job, result } => self.inputs_read(job, result),
            StoreEvent::ImageDamaged { job, image } => self.image_damaged(job, image),
            StoreEvent::Delivered { .. } | StoreEvent::Closed => Vec::new(),
        }
    }

    /// What a request says of the disk.
    fn observe<T>(&mut self, result: &Result<T, Failure>) {
        match result {
            Err(failure) => self.store.failed(failure.clone()),
            Ok(_) if self.blocked().next().is_none() => self.store.recovered(),
            Ok(_) => {}
        }
    }

    fn blocked(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(|job| matches!(job.phase, JobPhase::Blocked(_)))
    }

    /// The store is open: detached jobs that it does not have are lost, those that it has go on.
    fn store_opened(&mut self, contents: StoreContents, model: Option<&ModelInfo>) -> Vec<Effect> {
        self.age = StoreAge::new(contents.lived_s);
        self.ids.reserved(Some(contents.numbers));
        let lost = contents.aside.map(|(damage, path)| {
            let message = format!("detached jobs were damaged and are lost: {damage}");
            let hint = format!("what is left of them is in {}", path.display());
            tracing::error!(event = events::STORE_DAMAGED, "{message}; {hint}");
            Failure::new(Kind::Io, message).hint(hint)
        });
        self.store.opened(lost);
        let stored = |id: JobId| contents.jobs.iter().any(|(stored, _)| *stored == id);
        let accepting = |job: &Job| matches!(job.phase, JobPhase::Accepting(_));
        let lost = self.detached().filter(|job| !stored(job.id) && !accepting(job));
        let lost: Vec<_> = lost.map(|job| job.id).collect();
        let mut effects: Vec<_> = lost.into_iter().filter_map(|id| self.lose(id)).collect();
        let mut unfinished = 0;
        for (id, record) in contents.jobs {
            if self.get(id).is_none() {
                let job = Job::detached(id, record, JobPhase::Waiting, model);
                let to_run = !job.phase.has_ended();
                self.insert(job);
                if to_run {
                    unfinished += 1;
                    effects.extend(self.resume(id));
                }
            }
        }
        tracing::info!(
            event = events::STORE_OPENED,
            stored = self.detached().count(),
            unfinished,
            "detached jobs"
        );
        effects.extend(self.reserve_ids());
        effects
    }

    /// A detached job is not in the store any more.
    fn lose(&mut self, id: JobId) -> Option<Effect> {
        let stop = self.stop_run(id);
        let failure = Failure::new(Kind::Io, format!("job {id} was lost: the disk was damaged"));
        if let Some(mut job) = self.remove(id) {
            job.publish_end(Err(failure));
        }
        stop
    }

    /// The store has accepted a new job, or not.
    fn accepted(&mut self, id: JobId, result: Result<(), Failure>) -> Vec<Effect> {
        self.observe(&result);
        let client = match self.get(id).map(|job| &job.phase) {
            Some(JobPhase::Accepting(client)) => *client,
            // It was cancelled meanwhile.
            _ => return Vec::new(),
        };
        match result {
            Ok(()) => {
                let mut effects = self.resume(id);
                let position = position(&self.queue.positions(), id);
                effects.push(Effect::ModelNeeded);
                effects.push(Effect::Tell(client, Event::Accepted { job: id, position }));
                effects.push(Effect::Answered(client));
                effects
            }
            Err(failure) => {
                tracing::warn!(event = events::JOB_NOT_STORED, job = id, "refused: {failure}");
                self.remove(id);
                self.counts.failed += 1;
                vec![Effect::Tell(client, Event::Failed(failure)), Effect::Answered(client)]
            }
        }
    }

    /// A detached job goes on after its images that are in the store.
    fn resume(&mut self, id: JobId) -> Vec<Effect> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        job.restart();
        if job.stored_images() >= job.count() {
            self.enter(id, JobPhase::Saving(Timings::default()));
            return self.finish_if_saved(id);
        }
        self.enter(id, JobPhase::Waiting);
        Vec::new()
    }

    /// All images of a job are of one model: if an earlier daemon had another, they are all
    /// generated again.
    pub(super) fn use_one_model(&mut self, id: JobId, model: Option<&ModelInfo>) -> Vec<Effect> {
        let (Some(job), Some(model)) = (self.jobs.get_mut(&id), model) else { return Vec::new() };
        let Some(stored) = job.stored_mut() else { return Vec::new() };
        let Some(before) = stored.started.take_if(|started| started.model.name != model.name)
        else {
            return Vec::new();
        };
        let (before, now) = (before.model.name, &model.name);
        let why = format!(
            "job {id} starts again: its first images are of {before}, and the model is now {now}"
        );
        tracing::info!(event = events::JOB_RESTARTED, job = id, "{why}");
        stored.published.send_modify(|published| published.images.clear());
        job.progress.go_on_after(0);
        // Subscribers may have images of both otherwise.
        let failure = Failure::new(Kind::Busy, why).hint("wait for it again");
        vec![Effect::Unsubscribe(id, failure)]
    }

    /// Pixels of a detached job's image: to the disk when it is complete.
    pub(super) fn save_pixels(&mut self, id: JobId, chunk: &[u8], complete: bool) -> Vec<Effect> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        let started = job.progress.shape().cloned();
        let Some(stored) = job.stored_mut() else { return Vec::new() };
        if let Some((_, pixels)) = &mut stored.incoming {
            pixels.extend_from_slice(chunk);
        }
        if !complete {
            return Vec::new();
        }
        let (Some((image, pixels)), Some(started)) = (stored.incoming.take(), started) else {
            return Vec::new();
        };
        stored.unsaved_bytes += image.bytes;
        stored.started = Some(started.clone());
        let request = StoreRequest::StoreImage { job: id, started, image, pixels };
        let mut effects = vec![Effect::Store(request)];
        let unsaved = self.detached().filter_map(Job::stored).map(|stored| stored.unsaved_bytes);
        if unsaved.sum::<u64>() > UNSAVED_MAX {
            let failure = Failure::new(Kind::Io, "the disk is slower than the worker");
            effects.extend(self.block(id, failure));
        }
        effects
    }

    /// An image is on the disk, or the disk does not take it.
    fn image_stored(
        &mut self,
        id: JobId,
        bytes: u64,
        result: Result<StoredImage, Failure>,
    ) -> Vec<Effect> {
        let Some(stored) = self.jobs.get_mut(&id).and_then(Job::stored_mut) else {
            return Vec::new();
        };
        stored.unsaved_bytes = stored.unsaved_bytes.saturating_sub(bytes);
        match result {
            Ok(image) => {
                stored.published.send_modify(|published| {
                    published.images.truncate(image.image.index as usize);
                    published.images.push(image);
                });
                let mut effects = self.finish_if_saved(id);
                effects.extend(self.probe());
                effects
            }
            Err(failure) => self.block(id, failure),
        }
    }

    /// A job's images cannot be stored for now: it leaves the queue to others.
    pub(super) fn block(&mut self, id: JobId, failure: Failure) -> Vec<Effect> {
        let Some(job) = self.get(id) else { return Vec::new() };
        if !job.phase.is_scheduled() && !matches!(job.phase, JobPhase::Saving(_)) {
            return Vec::new();
        }
        tracing::warn!(event = events::JOB_BLOCKED, job = id, "waits for the disk: {failure}");
        let told = job.tell(Event::Waiting(Waiting::Disk(failure.clone())));
        let stop = self.stop_run(id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.inputs = InputPixels::of(&job.request);
        }
        self.store.failed(failure.clone());
        self.enter(id, JobPhase::Blocked(failure));
        [told].into_iter().chain(stop).collect()
    }

    /// Tries the disk for the job with the smallest images of those that are blocked.
    fn probe(&self) -> Option<Effect> {
        let unsaved = |job: &Job| job.stored().map_or(0, |stored| stored.unsaved_bytes);
        let blocked = self.blocked().filter(|job| unsaved(job) == 0);
        let (bytes, job) = blocked.map(|job| (job.image_bytes(), job.id)).min()?;
        Some(Effect::Store(StoreRequest::Probe { job, bytes }))
    }

    /// The disk was tried for this job. It is tried for the next when an image of this one is
    /// stored.
    fn probed(&mut self, id: JobId, result: Result<(), Failure>) -> Vec<Effect> {
        let blocked = self.get(id).is_some_and(|job| matches!(job.phase, JobPhase::Blocked(_)));
        let mut effects = Vec::new();
        if blocked && result.is_ok() {
            tracing::info!(event = events::JOB_UNBLOCKED, job = id, "goes on");
            effects = self.resume(id);
        }
        self.observe(&result);
        effects
    }

    /// A detached job has no more to be generated, or will not be.
    pub(super) fn end_detached(
        &mut self,
        id: JobId,
        result: Result<Timings, Failure>,
    ) -> Vec<Effect> {
        match result {
            Ok(timings) => {
                self.enter(id, JobPhase::Saving(timings));
                self.finish_if_saved(id)
            }
            Err(failure) if failure.kind == Kind::Cancelled => {
                self.set_ended(id, Err(failure));
                self.delete_request(id).into_iter().collect()
            }
            Err(failure) => vec![self.store_end(id, Err(failure))],
        }
    }

    /// A job whose images are all generated has ended when they are all stored.
    fn finish_if_saved(&mut self, id: JobId) -> Vec<Effect> {
        let Some(job) = self.get(id) else { return Vec::new() };
        match job.phase {
            JobPhase::Saving(timings) if job.stored_images() == job.count() => {
                vec![self.store_end(id, Ok(timings))]
            }
            _ => Vec::new(),
        }
    }

    /// A job's end is on the disk, or the disk does not take it.
    fn end_stored(&mut self, id: JobId, result: Result<(), Failure>) -> Vec<Effect> {
        self.observe(&result);
        if let Err(failure) = result {
            // At worst the next daemon finds it unfinished, and generates what is missing.
            tracing::warn!(
                event = events::JOB_END_NOT_STORED,
                job = id,
                "its end is not stored: {failure}"
            );
        }
        if let Some(JobPhase::Ending(end)) = self.get(id).map(|job| job.phase.clone()) {
            self.set_ended_at(id, end.result, end.lived_s);
        }
        Vec::new()
    }

    fn set_ended(&mut self, id: JobId, result: Result<Timings, Failure>) {
        self.set_ended_at(id, result, self.age.seconds());
    }

    fn set_ended_at(&mut self, id: JobId, result: Result<Timings, Failure>, age_s: u64) {
        self.enter(id, ended(&result, age_s));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.publish_end(result);
        }
    }

    /// An image differs from what was stored: it and those after it are generated again.
    fn image_damaged(&mut self, id: JobId, image: u32) -> Vec<Effect> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        // Once, if several subscribers find it.
        let queued = job.phase.is_scheduled() || matches!(job.phase, JobPhase::Accepting(_));
        if job.stored_images() <= image || queued {
            return Vec::new();
        }
        if let Some(stored) = job.stored() {
            stored.published.send_modify(|published| {
                published.images.truncate(image as usize);
                published.end = None;
            });
        }
        self.enter(id, JobPhase::Truncating);
        vec![Effect::Store(StoreRequest::Truncate { job: id, images: image })]
    }

    fn truncated(&mut self, id: JobId, result: Result<Box<JobRecord>, Failure>) -> Vec<Effect> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        if !matches!(job.phase, JobPhase::Truncating) {
            return Vec::new();
        }
        match result {
            Ok(record) => {
                job.request = record.submit;
                self.resume(id)
            }
            Err(failure) => {
                self.set_ended(id, Err(failure));
                Vec::new()
            }
        }
    }

    /// Deletes a job of this user that has ended, or of any for root.
    pub(crate) fn forget(&mut self, client: ClientId, uid: u32, id: JobId) -> Vec<Effect> {
        let ended = self.own_detached(uid, id).and_then(|id| match self.get(id) {
            Some(job) if job.phase.has_ended() => Ok(id),
            _ => Err(Refusal::NotEnded(id)),
        });
        match ended {
            Ok(id) => self.delete(client, id),
            Err(refusal) => vec![Effect::Tell(client, Event::Failed(refusal.into()))],
        }
    }

    /// Deletes a job that has ended; the client is answered when it is gone.
    pub(super) fn delete(&mut self, client: ClientId, id: JobId) -> Vec<Effect> {
        self.deletions.push((id, client));
        self.delete_request(id).into_iter().chain([Effect::Expect(client)]).collect()
    }

    fn delete_request(&self, id: JobId) -> Option<Effect> {
        let images = self.get(id)?.count();
        Some(Effect::Store(StoreRequest::Delete { job: id, images }))
    }

    fn deleted(&mut self, id: JobId, result: Result<(), Failure>) -> Vec<Effect> {
        self.observe(&result);
        let answer = match result {
            Ok(()) => {
                self.remove(id);
                Event::Acknowledged
            }
            Err(failure) => {
                tracing::warn!(
                    event = events::JOB_NOT_DELETED,
                    job = id,
                    "is not deleted: {failure}"
                );
                Event::Failed(failure)
            }
        };
        let waiting = self.deletions.extract_if(.., |(job, _)| *job == id);
        waiting.map(|(_, client)| Effect::Tell(client, answer.clone())).collect()
    }

    /// Now and then: expired jobs are deleted, and a disk that took nothing is tried again.
    pub(crate) fn maintain_store(&mut self, is_subscribed: impl Fn(JobId) -> bool) -> Vec<Effect> {
        let age_s = self.age.seconds();
        let expired = |job: &&Job| {
            let expired = |ended_s| has_expired(&self.retention, ended_s, age_s);
            job.phase.ended_s().is_some_and(expired) && !is_subscribed(job.id)
        };
        let old = self.detached().filter(expired);
        let old =
            old.inspect(|job| tracing::info!(event = events::JOB_EXPIRED, job = job.id, "expired"));
        // What could not be deleted before is deleted now.
        let cancelled = self.detached().filter(|job| is_cancelled(job));
        let mut effects: Vec<_> =
            cancelled.chain(old).filter_map(|job| self.delete_request(job.id)).collect();
        match self.store.is_open() {
            true => effects.extend(self.probe()),
            false => effects.push(Effect::Store(StoreRequest::Open)),
        }
        if self.detached().any(|job| job.phase.has_ended())
            && let Some(age_s) = self.age.due_for_saving()
        {
            effects.push(Effect::Store(StoreRequest::SaveAge(age_s)));
        }
        effects.extend(self.reserve_ids());
        effects
    }

    /// The store's age in seconds, to be saved when the daemon ends.
    pub(crate) fn store_age_s(&self) -> u64 {
        self.age.seconds()
    }
}
