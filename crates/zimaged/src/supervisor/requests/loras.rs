//! `Request::Loras`: the LoRAs that a request can name, as a worker finds them now.

use zimage_ipc::Command;
use zimg_protocol::messages::{Event, Loras};
use zimg_protocol::{Failure, Kind};

use crate::outbox::ClientId;
use crate::supervisor::Supervisor;
use crate::workers::link::CommandPayload;
use crate::workers::slot::WorkerSlot;

impl Supervisor {
    /// Asks a worker that has the model; without one the last answer counts.
    pub(super) fn list_loras(&mut self, id: ClientId) {
        if let Some(slot) = self.workers.iter().find(|slot| slot.serving().is_some()) {
            slot.command(Command::Loras, CommandPayload::default());
            self.lora_askers.push(id);
            self.clients.expect_answer(id);
            return;
        }
        let answer = self.last_loras();
        self.clients.tell(id, answer);
    }

    /// A worker's answer.
    pub(in crate::supervisor) fn loras_listed(&mut self, loras: Loras) {
        for id in std::mem::take(&mut self.lora_askers) {
            self.clients.tell(id, Event::Loras(Box::new(loras.clone())));
        }
        self.loras = Some(loras);
    }

    /// Those who asked a worker that is gone get the last answer.
    pub(in crate::supervisor) fn lora_worker_left(&mut self) {
        if self.workers.iter().any(|slot: &WorkerSlot| slot.serving().is_some()) {
            return;
        }
        for id in std::mem::take(&mut self.lora_askers) {
            let answer = self.last_loras();
            self.clients.tell(id, answer);
        }
    }

    fn last_loras(&self) -> Event {
        match &self.loras {
            Some(loras) => Event::Loras(Box::new(loras.clone())),
            None => Event::Failed(
                Failure::new(Kind::Busy, "the LoRAs are read once the model is loaded")
                    .hint("`zimg wake` loads it"),
            ),
        }
    }
}
