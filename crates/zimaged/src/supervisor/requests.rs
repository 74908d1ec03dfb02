//! What clients ask, and what becomes of it.

use std::time::Instant;

use zimg_protocol::limits::CHUNK_BYTES;
use zimg_protocol::messages::{
    Busy, Command, Event, Generate, JobId, JobInfo, Request, Waiting, WorkerState,
};
use zimg_protocol::{Failure, Kind};

use super::{Client, FromClient, Supervisor, shutting_down};
use crate::jobs::detached::DetachedJob;
use crate::jobs::job::{Job, cancelled};
use crate::outbox::ClientId;
use crate::scheduler::estimates::about;
use crate::scheduler::queue::{Full, Ticket};
use crate::workers::lifecycle::state::{Input, State};

/// Root, to whom all jobs are shown.
pub(super) const ROOT: u32 = 0;

/// What a job takes in a list besides its prompt: the longest failure and the rest.
const LISTED_BYTES: usize = 1 << 10;

/// Why a job is not taken.
enum Refusal {
    /// There is no place.
    Full(Full),
    /// Something else.
    Failed(Failure),
}

impl Supervisor {
    pub(super) fn client(&mut self, message: FromClient) {
        match message {
            FromClient::Joined { id, uid, outbox } => {
                self.clients.insert(id, Client { uid, outbox, job: None, subscription: None });
            }
            FromClient::Left { id } => {
                self.sleepers.retain(|sleeper| *sleeper != id);
                if let Some(job) = self.clients.remove(&id).and_then(|client| client.job) {
                    self.cancel(job);
                }
            }
            FromClient::Refused { id, failure } => self.refused(id, failure),
            FromClient::Asked { id, request } => {
                let Some(client) = self.clients.get(&id) else { return };
                if let Some(answer) = self.asked(id, client.uid, request)
                    && let Some(client) = self.clients.get(&id)
                {
                    client.outbox.event(answer);
                }
            }
        }
    }

    /// The answer to a request that could be read and not understood.
    fn refused(&mut self, id: ClientId, failure: Failure) {
        if self.is_free(id)
            && let Some(client) = self.clients.get(&id)
        {
            self.tally.failed += 1;
            client.outbox.event(Event::Failed(failure));
        }
    }

    /// The answer, unless it was given already or comes later.
    fn asked(&mut self, id: ClientId, uid: u32, request: Request) -> Option<Event> {
        match request {
            Request::Generate(submit) => self.submit(id, submit),
            Request::Cancel => {
                // A job that has just ended has been answered already.
                let client = self.clients.get(&id)?;
                if let Some(job) = client.job {
                    self.cancel(job);
                } else if let Some(subscription) = &client.subscription {
                    let job = subscription.job;
                    self.leave(id, Failure::new(Kind::Cancelled, format!("job {job} goes on")));
                }
                None
            }
            Request::CancelJob { job } => self.cancel_job(id, uid, job),
            Request::Jobs => Some(Event::Jobs(self.list(uid))),
            Request::Status => Some(Event::Status(Box::new(self.status()))),
            Request::Overview => Some(Event::Overview(Box::new(self.overview(uid)))),
            Request::Setup => Some(Event::Setup(Box::new(self.setup()))),
            Request::Sleep => self.sleep(id),
            Request::Wake => {
                self.happened(Input::Wake);
                self.refuse_sleepers(&needed());
                Some(Event::Acknowledged)
            }
            Request::Wait { job } if self.is_free(id) => self.wait(id, uid, job),
            Request::Wait { .. } => None,
            Request::Forget { job } => match self.own_detached(uid, job) {
                Ok(job) if self.has_ended(job) => {
                    self.forget(id, job);
                    None
                }
                Ok(job) => {
                    let failure = Failure::new(Kind::Refused, format!("job {job} has not ended"));
                    Some(Event::Failed(failure.hint(format!("`zimg cancel {job}` ends it"))))
                }
                Err(failure) => Some(Event::Failed(failure)),
            },
        }
    }

    /// Takes a job or says why not.
    fn submit(&mut self, id: ClientId, submit: Generate) -> Option<Event> {
        let uid = self.clients.get(&id)?.uid;
        if !self.is_free(id) {
            return None;
        }
        let refusal = match self.place(uid, &submit) {
            Ok(ticket) if submit.detach => {
                self.detach(id, ticket, submit);
                return None;
            }
            Ok(ticket) => {
                self.accept(id, ticket, submit);
                return None;
            }
            Err(refusal) => refusal,
        };
        self.tally.failed += 1;
        let (failure, busy) = match refusal {
            Refusal::Failed(failure) => (failure, None),
            Refusal::Full(full) => {
                self.tally.counters.busy += 1;
                let busy = self.busy(uid, full);
                (busy.failure.clone(), Some(busy))
            }
        };
        tracing::info!(uid, result = failure.kind.exit_code(), "refused: {failure}");
        Some(match busy {
            Some(busy) => Event::Busy(busy),
            None => Event::Failed(failure),
        })
    }

    /// A number and a place for the job, which it has then.
    fn place(&mut self, uid: u32, submit: &Generate) -> Result<Ticket, Refusal> {
        if self.stop_by.is_some() {
            return Err(Refusal::Failed(shutting_down()));
        }
        if let State::Failed(failure) = self.life.state() {
            return Err(Refusal::Failed(failure.clone()));
        }
        submit.params.check().map_err(|error| Refusal::Failed(error.into()))?;
        if let Some(image) = submit.images.first() {
            let role = image.role.name();
            let failure = Failure::new(Kind::Refused, format!("the model takes no {role}"));
            return Err(Refusal::Failed(failure.hint("send the request without it")));
        }
        if submit.on_behalf_of.is_some() {
            let failure = Failure::new(
                Kind::Permission,
                format!("user {uid} may not ask on behalf of others: `on_behalf_of` is refused"),
            );
            return Err(Refusal::Failed(failure));
        }
        let job = if submit.detach {
            self.room_to_keep(uid, submit).map_err(Refusal::Failed)?
        } else {
            self.store.number()
        };
        let ticket = Ticket { job, uid, priority: submit.priority };
        let placed =
            if submit.detach { self.queue.reserve(ticket) } else { self.queue.push(ticket) };
        placed.map(|()| ticket).map_err(Refusal::Full)
    }

    /// Whether a connection has nothing under way; one that has is ended with a sentence.
    fn is_free(&self, id: ClientId) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let free = client.job.is_none() && client.subscription.is_none();
        if !free {
            client.outbox.error(&Failure::new(
                Kind::Usage,
                "one connection has one job at a time: wait for its end or open another connection",
            ));
        }
        free
    }

    fn has_ended(&self, job: JobId) -> bool {
        self.store.jobs.get(job).is_some_and(DetachedJob::has_ended)
    }

    fn accept(&mut self, id: ClientId, ticket: Ticket, submit: Generate) {
        let job = ticket.job;
        let positions = self.queue.positions();
        let position = positions.iter().find(|(other, _)| *other == job);
        let position = position.map_or(0, |(_, position)| *position);
        if let Some(client) = self.clients.get_mut(&id) {
            client.job = Some(job);
            client.outbox.event(Event::Accepted { job, position });
        }
        self.jobs.insert(job, Job::new(ticket, id, submit, position));
        // Whoever asked for sleep did not know of this one.
        self.refuse_sleepers(&needed());
    }

    /// There is no place: how many jobs there are, and when one of them will have ended.
    fn busy(&self, uid: u32, full: Full) -> Busy {
        let mine = |job: &JobId| self.jobs.get(job).is_some_and(|job| job.uid() == uid);
        let order = self.queue.order();
        let (mut message, ends) = match full {
            Full::Total(jobs) => (format!("the queue is full with {}", counted(jobs)), 1),
            Full::User(jobs) => (
                format!("you already have {} in the queue", counted(jobs)),
                order.iter().position(mine).map_or(1, |before| before + 1),
            ),
        };
        let wait = self.time_for(order.get(..ends).unwrap_or_default());
        if let Some(wait) = wait {
            message += &format!("; one of them ends in {}", about(wait));
        }
        Busy {
            failure: Failure::new(Kind::Busy, message).hint("try again when one has ended"),
            depth: u32::try_from(self.queue.unfinished()).unwrap_or(u32::MAX),
            wait_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Ends a job: at once while it waits, at the next step while it runs.
    pub(super) fn cancel(&mut self, job: JobId) {
        if self.queue.remove(job) {
            self.end(job, Err(cancelled()));
        } else if let (Some(running), Some(link)) = (self.jobs.get_mut(&job), &self.worker.link)
            && !running.cancelled
        {
            running.cancelled = true;
            link.command(Command::Cancel { job });
        }
    }

    /// Cancels somebody's job, if it is his; whether there is such a job of somebody else's is
    /// none of his business.
    fn cancel_job(&mut self, id: ClientId, uid: u32, job: JobId) -> Option<Event> {
        if self.own_detached(uid, job).is_ok() {
            if self.has_ended(job) {
                self.forget(id, job);
                return None;
            }
            self.cancel_detached(job);
            return Some(Event::Acknowledged);
        }
        let owner = self.jobs.get(&job).map(Job::uid);
        if owner.is_some_and(|owner| owner == uid || uid == ROOT) {
            self.cancel(job);
            return Some(Event::Acknowledged);
        }
        let message = match uid {
            ROOT => format!("there is no unfinished job {job}"),
            _ => format!("you have no unfinished job {job}"),
        };
        let failure = Failure::new(Kind::Permission, message).hint("`zimg jobs` lists them");
        Some(Event::Failed(failure))
    }

    /// A user's jobs, or all for root, in the order in which they will be drawn, and then those
    /// that are kept.
    fn list(&self, uid: u32) -> Vec<JobInfo> {
        let last = u32::try_from(self.queue.unfinished()).unwrap_or(u32::MAX);
        let kept = self.store.jobs.iter().filter(|(job, _)| !self.jobs.contains_key(job));
        let kept = kept.filter(|(_, entry)| entry.uid == uid || uid == ROOT);
        let kept = kept.map(|(job, entry)| entry.info(job, last));
        let running = self.queue.running().map(|job| (job, None));
        let waiting = self.queue.positions().into_iter().map(|(job, n)| (job, Some(n)));
        running
            .into_iter()
            .chain(waiting)
            .filter_map(|(job, position)| Some((self.jobs.get(&job)?, position)))
            .filter(|(job, _)| job.uid() == uid || uid == ROOT)
            .map(|(job, position)| {
                let info = job.info(position, self.worker.model.as_ref());
                JobInfo { detached: self.is_detached(info.job), ..info }
            })
            .chain(kept)
            .scan(0, |bytes, info| {
                *bytes += info.prompt.len() + LISTED_BYTES;
                (*bytes <= CHUNK_BYTES).then_some(info)
            })
            .collect()
    }

    /// The worker goes once it has nothing to do; answered when it has gone.
    fn sleep(&mut self, id: ClientId) -> Option<Event> {
        if self.stop_by.is_some() {
            return Some(Event::Failed(shutting_down()));
        }
        let waiting = self.queue.len();
        if waiting > 0 {
            let wait = if waiting == 1 { "waits" } else { "wait" };
            let what = format!("{} {wait} to be drawn", counted(waiting));
            let failure = Failure::new(Kind::Busy, what);
            return Some(Event::Failed(failure.hint("try again when they have ended")));
        }
        self.sleepers.push(id);
        if let Some(client) = self.clients.get(&id) {
            client.outbox.expect_answer();
        }
        self.happened(Input::Sleep);
        None
    }

    /// Tells those who wait for it that the GPU is free, unless there is something to draw again.
    pub(super) fn answer_sleepers(&mut self) {
        if !matches!(self.life.state(), State::Asleep | State::Failed(_)) {
            return;
        }
        if self.queue.len() > 0 {
            return self.refuse_sleepers(&needed());
        }
        self.tell_sleepers(&Event::Acknowledged);
    }

    /// Tells those who wait for it why the GPU will not be free.
    pub(super) fn refuse_sleepers(&mut self, failure: &Failure) {
        self.tell_sleepers(&Event::Failed(failure.clone()));
    }

    fn tell_sleepers(&mut self, answer: &Event) {
        for sleeper in std::mem::take(&mut self.sleepers) {
            if let Some(client) = self.clients.get(&sleeper) {
                client.outbox.event(answer.clone());
            }
        }
    }

    /// Who waits learns why, if that is news.
    pub(super) fn tell_who_waits(&mut self) {
        let worker = self.life.told(Instant::now());
        let ready = matches!(worker, WorkerState::Ready | WorkerState::Busy { .. });
        for (id, position) in self.queue.positions() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let waiting = match (ready, job.overtaken) {
                (false, _) => Waiting::Worker(worker.clone()),
                (true, false) => Waiting::Queue { position },
                (true, true) => Waiting::Overtaken { position },
            };
            if job.told.as_ref() != Some(&waiting) {
                job.told = Some(waiting.clone());
                self.tell(id, Event::Waiting(waiting));
            }
        }
    }

    pub(super) fn refuse_waiting(&mut self, failure: &Failure) {
        for (job, _) in self.queue.positions() {
            // What is kept waits for better times.
            if !self.is_detached(job) {
                self.end(job, Err(failure.clone()));
            }
        }
    }
}

/// Why the GPU is not freed after all.
pub(super) fn needed() -> Failure {
    Failure::new(Kind::Busy, "the model is needed again meanwhile").hint("try again later")
}

/// "1 job", "2 jobs".
fn counted(jobs: usize) -> String {
    if jobs == 1 { "1 job".into() } else { format!("{jobs} jobs") }
}
