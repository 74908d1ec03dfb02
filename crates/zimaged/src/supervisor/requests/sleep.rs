//! `Request::Sleep` and `Request::Wake`: the workers end, so that their devices are free, and come
//! back.

use zimg_protocol::messages::Event;

use crate::jobs::Refusal;
use crate::outbox::ClientId;
use crate::supervisor::Supervisor;
use crate::workers::lifecycle::state::WorkerInput;

impl Supervisor {
    /// The workers end once they have nothing to do; answered when they have.
    pub(super) fn sleep(&mut self, id: ClientId) {
        let refusal = match self.jobs.waiting() {
            _ if self.stop_by.is_some() => Some(Refusal::ShuttingDown),
            0 => None,
            waiting => Some(Refusal::JobsWaiting(waiting)),
        };
        if let Some(refusal) = refusal {
            return self.clients.tell(id, Event::Failed(refusal.into()));
        }
        self.sleepers.push(id);
        self.clients.expect_answer(id);
        for worker in self.workers.ids() {
            self.happened(worker, WorkerInput::Sleep);
        }
    }

    /// The workers are started before a job needs them.
    pub(super) fn wake(&mut self, id: ClientId) {
        for worker in self.workers.ids() {
            self.happened(worker, WorkerInput::Wake);
        }
        self.refuse_sleepers(&Refusal::ModelNeeded.into());
        self.clients.tell(id, Event::Acknowledged);
    }
}
