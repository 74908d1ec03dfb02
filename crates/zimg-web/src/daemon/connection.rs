//! Threads for conversations with the daemon, and the connections that jobs share.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{CONNECTION_WAIT, Daemon};
use crate::problem::{Problem, Reason};

impl Daemon {
    /// One of the connections for jobs.
    pub(super) async fn connection(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let free = Arc::clone(&self.0.jobs).acquire_owned();
        match timeout(CONNECTION_WAIT, free).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Problem::new(
                Reason::Busy,
                "zimg-web has as many jobs under way as it may have connections to zimaged",
            )
            .hint("try again when one has ended")),
        }
    }
}

/// Runs blocking code on a thread of the pool.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    spawn_blocking(work)
        .await
        .map_err(|_| Problem::new(Reason::Internal, "a thread of zimg-web has failed"))
}
