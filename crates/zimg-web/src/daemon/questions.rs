//! Questions to the daemon, over connections that are used again.

use std::sync::{Arc, PoisonError};

use zimg_client::{Client, Failure};

use super::connection::on_thread;
use super::{Daemon, PROGRAM};
use crate::problem::{Problem, Reason};

impl Daemon {
    /// Asks a question that may be asked twice: a connection that was idle may have been closed by
    /// the daemon meanwhile.
    pub(crate) async fn ask<T, Q>(&self, question: Q) -> Result<T, Problem>
    where
        T: Send + 'static,
        Q: Fn(&mut Client) -> Result<T, Failure> + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        let permit = Arc::clone(&shared.questions).acquire_owned().await;
        let permit = permit.map_err(|_| Problem::new(Reason::Unavailable, "zimg-web is ending"))?;
        on_thread(move || {
            let _permit = permit;
            let idle = || shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let used = idle().pop();
            if let Some(mut client) = used
                && let Ok(answer) = question(&mut client)
            {
                idle().push(client);
                return Ok(answer);
            }
            let mut client = Client::connect(PROGRAM, &shared.socket)?;
            let answer = question(&mut client)?;
            idle().push(client);
            Ok(answer)
        })
        .await?
        .map_err(|failure: Failure| Problem::from(failure))
    }
}
