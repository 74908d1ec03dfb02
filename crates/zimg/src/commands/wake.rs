//! `zimg wake`: brings the model back before a prompt does.

use zimg_client::Client;

use super::{PROGRAM, Seen};
use crate::json;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::Common;

/// Returns when that has begun: `zimg status` says how far it is.
///
/// # Errors
///
/// No daemon, or it ends.
pub(crate) fn run(common: &Common) -> Result<(), Stop> {
    let socket = common.find_socket(&Settings::read()?)?;
    let mut client = Client::connect(PROGRAM, &socket)?;
    client.wake()?;
    if common.json {
        json::print(json::status(&Seen::ask(&mut client)?))?;
    }
    Ok(())
}
