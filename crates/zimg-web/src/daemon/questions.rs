//! Questions to the daemon, over connections that are used again.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zimg_client::{Client, Failure};

use super::connection::{connect, on_thread};
use super::{Daemon, Shared};
use crate::problem::{Problem, Reason};

/// Connections for questions of a kind.
#[derive(Debug)]
pub(super) struct Lane {
    places: Arc<Semaphore>,
    /// Connections that wait for the next question.
    idle: Mutex<Vec<Client>>,
}

impl Lane {
    pub(super) fn new(connections: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(connections)), idle: Mutex::default() }
    }

    /// Waits for one of the connections.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.places).acquire_owned().await;
        turn.map_err(|_| Problem::new(Reason::Unavailable, "zimg-web is ending"))
    }

    fn take(&self) -> Option<Client> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, client: Client) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
}

impl Daemon {
    /// Asks a question that may be asked twice: a connection that was idle may have been closed by
    /// the daemon meanwhile.
    pub(crate) async fn ask<T, Q>(&self, question: Q) -> Result<T, Problem>
    where
        T: Send + 'static,
        Q: Fn(&mut Client) -> Result<T, Failure> + Send + 'static,
    {
        let turn = self.0.questions.turn().await?;
        self.ask_over(turn, |shared| &shared.questions, question).await
    }

    /// The same on a connection of a lane.
    pub(super) async fn ask_over<T, Q, L>(
        &self,
        turn: OwnedSemaphorePermit,
        lane: L,
        question: Q,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        Q: Fn(&mut Client) -> Result<T, Failure> + Send + 'static,
        L: Fn(&Shared) -> &Lane + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        on_thread(move || {
            let _turn = turn;
            let lane = lane(&shared);
            if let Some(mut client) = lane.take()
                && let Ok(answer) = question(&mut client)
            {
                lane.put_back(client);
                return Ok(answer);
            }
            let mut client = connect(&shared.socket)?;
            let answer = question(&mut client)?;
            lane.put_back(client);
            Ok(answer)
        })
        .await?
        .map_err(|failure: Failure| Problem::from(failure))
    }
}
