//! Events of the store, routed to the job table; its opening, maintenance and closing.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Supervisor;
use crate::events;
use crate::store::{StoreEvent, StoreRequest};

/// How long clients wait at the start for a slow disk.
const OPENING: Duration = Duration::from_secs(2);
/// How long a daemon that shuts down waits for its requests to the disk.
const CLOSING: Duration = Duration::from_secs(20);

impl Supervisor {
    /// Waits until it is known what is stored, but not for long: then attached jobs run meanwhile.
    pub(super) async fn open_store(&mut self) {
        let opening = async {
            while !self.jobs.store_is_known() {
                match self.store.events.recv().await {
                    Some(event) => self.store_event(event),
                    None => return,
                }
            }
        };
        if timeout(OPENING, opening).await.is_err() {
            tracing::warn!(
                event = events::STORE_SLOW,
                "the disk with detached jobs is slow; they come when it answers"
            );
        }
    }

    /// Waits until everything that was to be stored is on the disk.
    pub(super) async fn close_store(&mut self) {
        self.store.send(StoreRequest::SaveAge(self.jobs.store_age_s()));
        self.store.send(StoreRequest::Close);
        let closing = async {
            while let Some(event) = self.store.events.recv().await {
                if matches!(event, StoreEvent::Closed) {
                    return;
                }
                self.store_event(event);
            }
        };
        if timeout(CLOSING, closing).await.is_err() {
            tracing::warn!(
                event = events::STORE_UNFINISHED,
                "the disk does not take the last of the detached jobs"
            );
        }
    }

    /// What the store, or a subscriber's feed, says.
    pub(super) fn store_event(&mut self, event: StoreEvent) {
        if let StoreEvent::Delivered { client, job, end } = event {
            // The client has all images, if it still waits for that job.
            if self.subscriptions.of(client) == Some(job) {
                self.subscriptions.remove(client);
                self.clients.tell(client, end);
            }
            return;
        }
        let effects = self.jobs.store_event(event, self.workers.model());
        self.perform(effects);
    }

    /// Now and then: expired jobs are deleted, and a bad disk is tried again.
    pub(super) fn maintain_store(&mut self) {
        self.store.next_check = Instant::now() + self.config.timeouts.disk_check;
        let subscriptions = &self.subscriptions;
        let subscribed = |job| subscriptions.to(job).next().is_some();
        let effects = self.jobs.maintain_store(subscribed);
        self.perform(effects);
    }
}
