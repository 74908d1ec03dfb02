//! `Request::Forget`: a detached job that has ended is deleted.

use zimg_protocol::messages::JobId;

use crate::outbox::ClientId;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(super) fn forget(&mut self, id: ClientId, uid: u32, job: JobId) {
        let effects = self.jobs.forget(id, uid, job);
        self.perform(effects);
    }
}
