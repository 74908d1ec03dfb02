//! The state of a daemon: its answers to all questions that its protocol version knows.

use zimg_client::{Client, Failure, Overview, Setup, Status};

/// The answers; a daemon of minor version 0 gives only the first.
#[derive(Debug)]
pub(crate) struct DaemonState {
    pub(crate) status: Status,
    pub(crate) overview: Option<Overview>,
    pub(crate) setup: Option<Setup>,
}

impl DaemonState {
    /// Asks all questions that this daemon knows.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub(crate) fn ask(client: &mut Client) -> Result<Self, Failure> {
        if client.minor() == 0 {
            return Ok(Self { status: client.status()?, overview: None, setup: None });
        }
        let overview = client.overview()?;
        let setup = Some(client.setup()?);
        Ok(Self { status: overview.status.clone(), overview: Some(overview), setup })
    }
}
