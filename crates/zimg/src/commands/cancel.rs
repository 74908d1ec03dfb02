//! `zimg cancel`: stops jobs, or drops what the daemon keeps of them.

use std::io::{self, Write};

use zimg_client::Client;

use super::PROGRAM;
use crate::json;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::{Cancel, Common};

/// Cancels each, up to the first that cannot be.
///
/// # Errors
///
/// No daemon, or a job that is not there.
pub(crate) fn run(typed: &Cancel, common: &Common) -> Result<(), Stop> {
    let socket = common.find_socket(&Settings::read()?)?;
    let mut client = Client::connect(PROGRAM, &socket)?;
    for job in &typed.jobs {
        client.cancel(*job)?;
        if common.json {
            json::print(json::cancelled(*job))?;
        } else if !typed.quiet {
            let _ = writeln!(io::stderr(), "job {job} is cancelled");
        }
    }
    Ok(())
}
