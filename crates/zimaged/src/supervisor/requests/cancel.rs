//! `Request::Cancel` and `Request::CancelJob`: this connection's job, or one by its id.

use zimg_protocol::messages::{Event, JobId};
use zimg_protocol::{Failure, Kind};

use crate::outbox::ClientId;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Cancels the connection's job, or ends its subscription: a detached job goes on.
    pub(super) fn cancel(&mut self, id: ClientId) {
        if let Some(job) = self.jobs.of_client(id) {
            let effects = self.jobs.cancel(job);
            self.perform(effects);
        } else if let Some(job) = self.subscriptions.remove(id) {
            let failure = Failure::new(Kind::Cancelled, format!("job {job} goes on"));
            self.clients.tell(id, Event::Failed(failure));
        }
    }

    pub(super) fn cancel_job(&mut self, id: ClientId, uid: u32, job: JobId) {
        let effects = self.jobs.cancel_own(id, uid, job);
        self.perform(effects);
    }
}
