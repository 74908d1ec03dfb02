//! Shutdown: waiting jobs are refused, running ones may finish, the workers end.

use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::timeout;
use zimg_protocol::Failure;
use zimg_protocol::messages::Event;

use super::{FromClient, Supervisor};
use crate::events;
use crate::jobs::Refusal;
use crate::workers::lifecycle::state::WorkerInput;
use crate::workers::link::FromWorker;

impl Supervisor {
    /// No more jobs; attached ones that wait are refused.
    pub(super) fn shut_down(&mut self) {
        let time = self.config.timeouts.shutdown;
        tracing::info!(
            event = events::SHUTDOWN_STARTED,
            queued = self.jobs.waiting(),
            running = self.jobs.running(),
            "shutting down; the running job has {} s, a second signal ends it",
            time.as_secs()
        );
        self.notifier.stopping();
        self.stop_by = Some(Instant::now() + time);
        for worker in self.workers.ids() {
            self.happened(worker, WorkerInput::Stop);
        }
        let failure = Failure::from(Refusal::ShuttingDown);
        self.refuse_sleepers(&failure);
        let effects = self.jobs.shut_down();
        self.perform(effects);
        for client in self.subscriptions.end_all() {
            self.clients.tell(client, Event::Failed(failure.clone()));
        }
    }

    /// The running jobs had their time.
    pub(super) fn stop_now(&mut self) {
        tracing::info!(
            event = events::RUNNING_JOBS_ABANDONED,
            running = self.jobs.running(),
            "the running job is given up"
        );
        let effects = self.jobs.give_up();
        self.perform(effects);
    }

    /// Connections end when they have written what they were promised; later requests are ignored.
    pub(super) fn dismiss(&self, clients: &mut mpsc::Receiver<FromClient>) {
        self.clients.close();
        clients.close();
        while let Ok(message) = clients.try_recv() {
            if let FromClient::Joined { outbox, .. } = message {
                outbox.close();
            }
        }
    }

    /// Closes the workers' inputs, which ends them, and waits; kills those that take long.
    pub(super) async fn end_workers(&mut self) {
        let mut left = self.workers.iter_mut().map(|slot| usize::from(slot.close())).sum();
        let time = self.config.timeouts.exit;
        if timeout(time, self.exited(&mut left)).await.is_ok() {
            return;
        }
        self.workers.iter().for_each(|slot| slot.kill());
        // A killed process is reaped in a moment, or the kernel is stuck with it.
        if timeout(time, self.exited(&mut left)).await.is_err() {
            tracing::warn!(
                event = events::WORKERS_STUCK,
                workers = left,
                "the worker does not end"
            );
        }
    }

    /// Waits until so many more processes have exited.
    async fn exited(&mut self, left: &mut usize) {
        while *left > 0 {
            match self.from_workers.recv().await {
                Some((_, FromWorker::Exited(_))) => *left -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }
}
