//! `zimg cancel`: stops jobs, or deletes the stored images of detached ones.

use serde::Serialize;
use zimg_client::Client;

use crate::cli::{CancelArgs, CommonArgs};
use crate::exit::Exit;
use crate::json;
use crate::settings::UserSettings;
use crate::stderr;
use crate::version::PROGRAM;

/// A job is stopped, or its images are deleted.
#[derive(Serialize)]
#[serde(tag = "event", rename = "cancelled")]
struct CancelledEvent {
    job: u64,
}

/// Cancels each job, up to the first that cannot be cancelled.
///
/// # Errors
///
/// No daemon answers, or a job does not exist.
pub(crate) fn run(args: &CancelArgs, common: &CommonArgs) -> Result<(), Exit> {
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    let mut client = Client::connect(PROGRAM, &socket)?;
    for job in &args.jobs {
        client.cancel(*job)?;
        if common.json {
            json::print(&CancelledEvent { job: *job })?;
        } else if !args.quiet {
            stderr::say(&format!("job {job} is cancelled\n"));
        }
    }
    Ok(())
}
