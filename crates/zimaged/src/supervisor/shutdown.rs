//! The end of the daemon: who waits is refused, who is drawn for may finish, the worker goes.

use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{FromClient, Supervisor, shutting_down};
use crate::workers::lifecycle::state::Input;
use crate::workers::link::FromWorker;

impl Supervisor {
    /// No more jobs; those that wait are refused.
    pub(super) fn stop(&mut self) {
        let drain = self.config.timeouts.shutdown;
        tracing::info!(
            queued = self.queue.len(),
            running = self.queue.running(),
            "shutting down; the running job has {} s, a second signal ends it",
            drain.as_secs()
        );
        self.notifier.stopping();
        self.stop_by = Some(Instant::now() + drain);
        self.happened(Input::Stop);
        self.refuse_sleepers(&shutting_down());
        self.refuse_waiting(&shutting_down());
        self.leave_detached();
    }

    /// The running job had its time.
    pub(super) fn stop_now(&mut self) {
        tracing::info!("the running job is given up");
        if let Some(job) = self.queue.running() {
            self.end(job, Err(shutting_down()));
        }
    }

    /// Connections end when they have written what they were promised; what they still say is of
    /// no interest.
    pub(super) fn dismiss(&self, clients: &mut mpsc::Receiver<FromClient>) {
        for client in self.clients.values() {
            client.outbox.close();
        }
        clients.close();
        while let Ok(message) = clients.try_recv() {
            if let FromClient::Joined { outbox, .. } = message {
                outbox.close();
            }
        }
    }

    /// Closes the worker's input, which ends it, and waits; kills it when that takes long.
    pub(super) async fn end_worker(&mut self) {
        let Some(mut link) = self.worker.link.take() else { return };
        link.close();
        let leave = self.config.timeouts.exit;
        if timeout(leave, self.exited()).await.is_ok() {
            return;
        }
        link.kill();
        // A killed process is reaped in a moment, or the kernel is stuck with it.
        if timeout(leave, self.exited()).await.is_err() {
            tracing::warn!("the worker does not end");
        }
    }

    async fn exited(&mut self) {
        while !matches!(self.from_worker.recv().await, Some(FromWorker::Exited(_)) | None) {}
    }
}
