//! `zimg sleep`: frees the GPU until the next prompt.

use zimg_client::Client;

use super::{PROGRAM, Seen};
use crate::json;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::Common;

/// Returns when it is free: the image that is being drawn is finished first.
///
/// # Errors
///
/// No daemon, or jobs wait.
pub(crate) fn run(common: &Common) -> Result<(), Stop> {
    let socket = common.find_socket(&Settings::read()?)?;
    let mut client = Client::connect(PROGRAM, &socket)?;
    client.sleep()?;
    if common.json {
        json::print(json::status(&Seen::ask(&mut client)?))?;
    }
    Ok(())
}
