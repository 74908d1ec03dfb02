//! `Request::Generate`: a job for this connection, or a detached one.

use crate::jobs::Refusal;
use crate::outbox::ClientId;
use crate::request_images::NewJob;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(super) fn generate(&mut self, id: ClientId, uid: u32, job: NewJob) {
        if !self.is_free(id) {
            return;
        }
        let refusal = match self.workers.failure() {
            _ if self.stop_by.is_some() => Some(Refusal::ShuttingDown),
            Some(failure) => Some(Refusal::NoWorker(failure.clone())),
            None if job.request.on_behalf_of.is_some() && !self.is_trusted(id) => {
                Some(Refusal::OnBehalfOf(uid))
            }
            None => None,
        };
        if let Some(refusal) = refusal {
            let event = self.jobs.refuse(uid, refusal);
            return self.clients.tell(id, event);
        }
        let (model, serving) = (self.workers.model(), self.workers.serving());
        let effects = self.jobs.submit(id, uid, job, model, &serving);
        self.perform(effects);
    }

    /// Whether a client may ask on behalf of others.
    fn is_trusted(&self, id: ClientId) -> bool {
        let (group, peer) = (&self.config.trusted_group, self.clients.peer(id));
        group.as_ref().zip(peer).is_some_and(|(group, peer)| group.contains(peer))
    }
}
