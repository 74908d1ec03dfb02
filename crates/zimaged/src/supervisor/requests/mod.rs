//! The requests of clients: each has a file of its name, here and in `zimg/src/commands`.

mod cancel;
mod forget;
mod generate;
mod jobs;
mod loras;
mod sleep;
mod status;
mod wait;

use zimg_protocol::messages::Request;

use super::{FromClient, Supervisor};
use crate::jobs::Refusal;
use crate::outbox::ClientId;

impl Supervisor {
    pub(super) fn client(&mut self, message: FromClient) {
        match message {
            FromClient::Joined { id, peer, outbox } => self.clients.join(id, peer, outbox),
            FromClient::Left { id } => {
                self.sleepers.retain(|sleeper| *sleeper != id);
                self.lora_askers.retain(|asker| *asker != id);
                self.subscriptions.remove(id);
                self.clients.leave(id);
                let effects = self.jobs.client_left(id);
                self.perform(effects);
            }
            FromClient::Refused { id, failure } => {
                if let Some(uid) = self.clients.uid(id)
                    && self.is_free(id)
                {
                    let event = self.jobs.refuse(uid, Refusal::Failed(failure));
                    self.clients.tell(id, event);
                }
            }
            FromClient::Submitted { id, job } => {
                if let Some(uid) = self.clients.uid(id) {
                    self.generate(id, uid, job);
                }
            }
            FromClient::Asked { id, request } => {
                if let Some(uid) = self.clients.uid(id) {
                    self.asked(id, uid, request);
                }
            }
        }
    }

    fn asked(&mut self, id: ClientId, uid: u32, request: Request) {
        match request {
            Request::Generate(generate) => self.generate(id, uid, generate.into()),
            Request::Cancel => self.cancel(id),
            Request::CancelJob { job } => self.cancel_job(id, uid, job),
            Request::Jobs => self.list_jobs(id, uid),
            Request::Wait { job } => self.wait(id, uid, job),
            Request::Forget { job } => self.forget(id, uid, job),
            Request::Sleep => self.sleep(id),
            Request::Wake => self.wake(id),
            Request::Status => self.tell_status(id),
            Request::Overview => self.tell_overview(id, uid),
            Request::Setup => self.tell_setup(id),
            Request::MemoryPlans => self.tell_memory_plans(id),
            Request::Expiries => self.tell_expiries(id, uid),
            Request::Loras => self.list_loras(id),
        }
    }

    /// Whether a connection has no job; one that has one is ended with a sentence.
    fn is_free(&self, id: ClientId) -> bool {
        let free = self.jobs.of_client(id).is_none() && self.subscriptions.of(id).is_none();
        if !free {
            self.clients.refuse(id, &Refusal::ConnectionBusy.into());
        }
        free
    }
}
