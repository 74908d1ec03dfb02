//! Threads for conversations with the daemon, and the connections that jobs share.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zimg_client::{Client, Failure, Kind};

use super::{CONNECTION_WAIT, Daemon, PROGRAM};
use crate::problem::{Problem, Reason};

/// How long zimaged may take to notice that connections were closed.
const PLACES_WAIT: Duration = Duration::from_secs(1);
const PLACES_PAUSE: Duration = Duration::from_millis(10);

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

/// Connects. zimaged counts a connection until it has noticed its end, so the places that this
/// process has may be taken for a moment by connections that it has closed.
pub(super) fn connect(socket: &Path) -> Result<Client, Failure> {
    let begun = Instant::now();
    loop {
        match Client::connect(PROGRAM, socket) {
            Err(failure) if failure.kind == Kind::Busy && begun.elapsed() < PLACES_WAIT => {
                thread::sleep(PLACES_PAUSE);
            }
            other => return other,
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
