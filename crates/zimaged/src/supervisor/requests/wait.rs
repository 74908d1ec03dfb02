//! `Request::Wait`: a subscription to a detached job, until it ends or the client leaves.

use zimg_protocol::messages::{Event, JobId};

use crate::jobs::Refusal;
use crate::outbox::ClientId;
use crate::supervisor::Supervisor;
use crate::supervisor::feed::Feed;

impl Supervisor {
    pub(super) fn wait(&mut self, id: ClientId, uid: u32, job: JobId) {
        if !self.is_free(id) {
            return;
        }
        let own = match self.stop_by {
            Some(_) => Err(Refusal::ShuttingDown),
            None => self.jobs.own_detached(uid, job),
        };
        if let Err(refusal) = own {
            return self.clients.tell(id, Event::Failed(refusal.into()));
        }
        let (Some(found), Some(published)) = (self.jobs.get(job), self.jobs.published(job)) else {
            return;
        };
        let Some(outbox) = self.clients.outbox(id) else { return };
        let ended = found.phase.has_ended();
        outbox.expect_answer();
        if !ended {
            self.jobs.introduction(job).into_iter().for_each(|event| outbox.event(event));
        }
        let feed = Feed {
            client: id,
            job,
            outbox: outbox.clone(),
            store: self.store.store.clone(),
            published,
            supervisor: self.store.to_supervisor.clone(),
        };
        let feed = tokio::spawn(feed.run(ended)).abort_handle();
        self.subscriptions.insert(id, job, feed);
    }
}
