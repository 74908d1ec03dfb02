//! The channels to and from the store, and when it is checked next.

use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::mpsc;
use zimg_protocol::Failure;

use crate::store::{Store, StoreEvent, StoreRequest};

/// The store, and the events that come from it.
#[derive(Debug)]
pub(super) struct StoreHandle {
    pub store: Store,
    pub events: mpsc::UnboundedReceiver<StoreEvent>,
    /// For the feeds of subscribers.
    pub to_supervisor: mpsc::UnboundedSender<StoreEvent>,
    /// When expired jobs and a bad disk are looked at next.
    pub next_check: Instant,
}

impl StoreHandle {
    /// A store in this folder, which is being opened.
    ///
    /// # Errors
    ///
    /// There is no room for its thread.
    pub(super) fn start(folder: Result<PathBuf, Failure>) -> std::io::Result<Self> {
        let (to_supervisor, events) = mpsc::unbounded_channel();
        Ok(Self {
            store: Store::start(folder, to_supervisor.clone())?,
            events,
            to_supervisor,
            next_check: Instant::now(),
        })
    }

    pub(super) fn send(&self, request: StoreRequest) {
        self.store.send(request);
    }
}
