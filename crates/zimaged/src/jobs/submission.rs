//! New jobs: accepted into the queue, or refused with a reason.

use zimg_protocol::Failure;
use zimg_protocol::messages::{Busy, Event, Generate, JobId, ModelInfo};

use super::effect::Effect;
use super::input_pixels::InputPixels;
use super::job::{Job, unix_s};
use super::listing::{Serving, count, position};
use super::refusal::Refusal;
use super::state::JobPhase;
use super::{JobTable, retention};
use crate::events;
use crate::outbox::ClientId;
use crate::owner::Owner;
use crate::request_images::{NewJob, RequestImages};
use crate::scheduler::queue::QueueFull;
use crate::store::{JobRecord, StoreRequest};

impl JobTable {
    /// A client submits a job. A detached one is answered when it is in the store.
    pub(crate) fn submit(
        &mut self,
        client: ClientId,
        uid: u32,
        job: impl Into<NewJob>,
        model: Option<&ModelInfo>,
        serving: &Serving<'_>,
    ) -> Vec<Effect> {
        let NewJob { mut request, images } = job.into();
        request.take_size();
        let mut effects = Vec::new();
        match self.admit(uid, (&request, &images), model, serving, &mut effects) {
            Ok(id) if request.detach => {
                let record = JobRecord::new(uid, request, unix_s());
                let phase = JobPhase::Accepting(client);
                let mut job = Job::detached(id, record.clone(), phase, model);
                // Until the images are on the disk, the request to the store has their room.
                job.inputs = InputPixels::Here(RequestImages::stored(images.pixels().to_vec()));
                self.insert(job);
                let record = Box::new(record);
                effects.push(Effect::Expect(client));
                effects.push(Effect::Store(StoreRequest::Accept {
                    job: id,
                    record,
                    inputs: images,
                }));
            }
            Ok(id) => {
                self.insert(Job::attached(id, uid, client, NewJob { request, images }));
                let position = position(&self.queue.positions(), id);
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.announce_position(position);
                }
                effects.push(Effect::Tell(client, Event::Accepted { job: id, position }));
                effects.push(Effect::ModelNeeded);
            }
            Err(refusal) => effects.push(Effect::Tell(client, self.refuse(uid, refusal))),
        }
        effects
    }

    /// Refuses a job: what its client is told.
    pub(crate) fn refuse(&mut self, uid: u32, refusal: Refusal) -> Event {
        self.counts.failed += 1;
        let free_in = match &refusal {
            Refusal::QueueFull { free_in, .. } | Refusal::OwnQueueFull { free_in, .. } => {
                self.counts.counters.busy += 1;
                Some(*free_in)
            }
            _ => None,
        };
        let failure = Failure::from(refusal);
        tracing::info!(
            event = events::JOB_REFUSED,
            uid,
            result = failure.kind.exit_code(),
            "refused: {failure}"
        );
        match free_in {
            Some(free_in) => Event::Busy(Busy {
                failure,
                depth: count(self.queue.unfinished()),
                wait_ms: free_in.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            }),
            None => Event::Failed(failure),
        }
    }

    /// An id for a job that is within all limits.
    fn admit(
        &mut self,
        uid: u32,
        (request, images): (&Generate, &RequestImages),
        model: Option<&ModelInfo>,
        serving: &Serving<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<JobId, Refusal> {
        request.check_images().map_err(Refusal::Failed)?;
        // A model that is not loaded is asked later.
        let takes = |role| model.is_none_or(|model| model.capabilities.takes(role));
        if let Some(image) = request.images.iter().find(|image| !takes(image.role)) {
            return Err(Refusal::ImageInput(image.role.name()));
        }
        if request.images.len() != images.pixels().len() {
            return Err(Refusal::ImagesMissing);
        }
        request.params.check().map_err(|error| Refusal::Failed(error.into()))?;
        let owner = Owner::new(uid, request.on_behalf_of.as_deref());
        if request.detach {
            if !self.store.is_open() {
                effects.push(Effect::Store(StoreRequest::Open));
                return Err(self.store.why_closed());
            }
            let used =
                self.detached().filter_map(|job| Some((job.owner.clone(), job.stored()?.bytes)));
            retention::admit(&self.retention, used, &owner, request, model)?;
        }
        self.queue.admit(&owner).map_err(|full| self.full(&owner, full, serving))?;
        let id = if request.detach { self.ids.next_unique() } else { Some(self.ids.next()) };
        effects.extend(self.reserve_ids());
        id.ok_or_else(|| self.store.why_no_id())
    }

    /// The queue is full: when one of the jobs in question will have ended.
    fn full(&self, owner: &Owner, full: QueueFull, serving: &Serving<'_>) -> Refusal {
        let order = self.queue.order();
        match full {
            QueueFull::Total(jobs) => {
                let first = order.get(..self.running().max(1)).unwrap_or(&order);
                let ends = self.ends_of(first, serving);
                Refusal::QueueFull { jobs, free_in: ends.and_then(|ends| ends.into_iter().min()) }
            }
            QueueFull::User(jobs) => {
                let own = |id: &JobId| self.get(*id).is_some_and(|job| job.owner == *owner);
                let upto = order.iter().position(own).map_or(1, |before| before + 1);
                let ends = self.ends_of(order.get(..upto).unwrap_or_default(), serving);
                Refusal::OwnQueueFull { jobs, free_in: ends.and_then(|ends| ends.last().copied()) }
            }
        }
    }

    /// More ids are reserved before they run out.
    pub(super) fn reserve_ids(&mut self) -> Option<Effect> {
        let reserve = self.store.is_open() && self.ids.needs_more();
        reserve.then(|| Effect::Store(StoreRequest::ReserveIds(crate::store::IDS_RESERVED)))
    }
}
