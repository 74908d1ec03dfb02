//! The state of a daemon: its answers to the questions about itself.

use zimg_client::{Client, Failure, Overview, Setup, Status};

/// The answers.
#[derive(Debug)]
pub(crate) struct DaemonState {
    pub(crate) overview: Overview,
    pub(crate) setup: Setup,
}

impl DaemonState {
    /// Asks both questions.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub(crate) fn ask(client: &mut Client) -> Result<Self, Failure> {
        Ok(Self { overview: client.overview()?, setup: client.setup()? })
    }

    /// The part of the overview that `zimg status` shows first.
    pub(crate) fn status(&self) -> &Status {
        &self.overview.status
    }
}
