//! The effects that the job table and the workers' lifecycles return, performed.

use std::time::Instant;

use zimg_protocol::Failure;
use zimg_protocol::messages::Event;

use super::Supervisor;
use crate::events;
use crate::jobs::{Effect, Refusal};
use crate::workers::WorkerId;
use crate::workers::lifecycle::state::{WorkerAction, WorkerInput};

impl Supervisor {
    /// Performs the job table's effects, in their order.
    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(client, event) => self.clients.tell(client, event),
                Effect::Expect(client) => self.clients.expect_answer(client),
                Effect::Answered(client) => self.clients.answered(client),
                Effect::Pixels(client, chunk) => self.clients.pixels(client, chunk),
                Effect::Publish(job, event) => {
                    for client in self.subscriptions.to(job) {
                        self.clients.tell(client, event.clone());
                    }
                }
                Effect::Unsubscribe(job, failure) => {
                    for client in self.subscriptions.end(job) {
                        self.clients.tell(client, Event::Failed(failure.clone()));
                    }
                }
                Effect::Command(worker, command, payload) => {
                    if let Some(slot) = self.workers.get(worker) {
                        slot.command(*command, payload);
                    }
                }
                Effect::Worker(worker, input) => self.happened(worker, input),
                Effect::Store(request) => self.store.send(request),
                Effect::ModelNeeded => self.refuse_sleepers(&Refusal::ModelNeeded.into()),
            }
        }
    }

    /// Applies what happened to a worker's lifecycle, and does what that asks for.
    pub(super) fn happened(&mut self, worker: WorkerId, input: WorkerInput) {
        let Some(slot) = self.workers.get_mut(worker) else { return };
        for action in slot.lifecycle.apply(input, Instant::now()) {
            self.act(worker, action);
        }
        if let Some(slot) = self.workers.get_mut(worker)
            && slot.is_off()
        {
            slot.free_device();
        }
        self.answer_sleepers();
    }

    fn act(&mut self, worker: WorkerId, action: WorkerAction) {
        let Some(slot) = self.workers.get_mut(worker) else { return };
        match action {
            WorkerAction::Spawn => self.spawn(worker),
            WorkerAction::Close => {
                slot.close();
            }
            WorkerAction::Kill => slot.kill(),
            WorkerAction::BackOff { pause, reason } => {
                let (worker, pause_s) = (worker.0, pause.as_secs_f32());
                tracing::warn!(
                    event = events::WORKER_RESTARTED,
                    worker,
                    pause_s,
                    "{reason}; it is started again"
                );
            }
            WorkerAction::LoseJob { job, fault, reason } => {
                let stopping = self.stop_by.is_some();
                let effects = self.jobs.worker_lost(worker, job, fault, reason, stopping);
                self.perform(effects);
            }
            WorkerAction::RefuseAll(failure) => {
                let worker = worker.0;
                let hint = failure.hint.iter().map(|hint| format!("; {hint}")).collect::<String>();
                tracing::error!(
                    event = events::WORKER_FAILED,
                    worker,
                    "cannot generate: {failure}{hint}"
                );
                self.refuse_waiting();
            }
        }
    }

    /// Jobs that wait fail if no worker can run any more.
    fn refuse_waiting(&mut self) {
        if let Some(failure) = self.workers.failure().cloned() {
            let effects = self.jobs.refuse_waiting(&failure);
            self.perform(effects);
        }
    }

    /// Starts a worker's process.
    pub(super) fn spawn(&mut self, worker: WorkerId) {
        // A model that was ready before: clients wait for an image, whose size is prepared first.
        let Some(slot) = self.workers.get_mut(worker) else { return };
        let awaited = slot.model.as_ref().and_then(|model| self.jobs.next_shape(model));
        let spawned = slot.spawn(awaited.map(|shape| (shape.width, shape.height)));
        if let Err(failure) = spawned {
            self.happened(worker, WorkerInput::NotStarted(failure));
        }
    }

    /// Tells clients that wait for it that the device is free, unless a job waits again.
    pub(super) fn answer_sleepers(&mut self) {
        if self.sleepers.is_empty() || !self.workers.are_off() {
            return;
        }
        if self.jobs.waiting() > 0 {
            return self.refuse_sleepers(&Refusal::ModelNeeded.into());
        }
        for client in std::mem::take(&mut self.sleepers) {
            self.clients.tell(client, Event::Acknowledged);
        }
    }

    /// Tells clients that wait for it why the device will not be free.
    pub(super) fn refuse_sleepers(&mut self, failure: &Failure) {
        for client in std::mem::take(&mut self.sleepers) {
            self.clients.tell(client, Event::Failed(failure.clone()));
        }
    }
}
