//! `zimg wake`: loads the model before a prompt does.

use zimg_client::Client;

use super::status::status_event;
use crate::cli::CommonArgs;
use crate::daemon_state::DaemonState;
use crate::exit::Exit;
use crate::json;
use crate::settings::UserSettings;
use crate::version::PROGRAM;

/// Returns when loading has begun; `zimg status` shows its progress.
///
/// # Errors
///
/// No daemon answers, or it shuts down.
pub(crate) fn run(common: &CommonArgs) -> Result<(), Exit> {
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    let mut client = Client::connect(PROGRAM, &socket)?;
    client.wake()?;
    if common.json {
        json::print(&status_event(&DaemonState::ask(&mut client)?))?;
    }
    Ok(())
}
