//! `Request::Jobs` and `Request::Expiries`: the jobs of a user, or all for root, and when those that
//! have ended are deleted.

use zimg_protocol::messages::Event;

use crate::outbox::ClientId;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(super) fn list_jobs(&self, id: ClientId, uid: u32) {
        let jobs = self.jobs.list(uid, self.workers.model());
        self.clients.tell(id, Event::Jobs(jobs));
    }

    pub(super) fn tell_expiries(&self, id: ClientId, uid: u32) {
        self.clients.tell(id, Event::Expiries(self.jobs.expiries(uid)));
    }
}
