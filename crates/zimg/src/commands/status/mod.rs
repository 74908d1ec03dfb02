//! `zimg status`: prints the state of the daemon, once or live.

mod json;
mod keys;
mod table;
mod watch;

use std::io::{self, Write as _};

use zimg_client::Client;

pub(super) use self::json::status_event;
use crate::cli::{CommonArgs, StatusArgs};
use crate::daemon_state::DaemonState;
use crate::exit::Exit;
use crate::format;
use crate::settings::UserSettings;
use crate::version::PROGRAM;

/// Asks the daemon and prints its answer; with `--watch` again and again.
///
/// # Errors
///
/// The daemon does not answer, or standard output is closed or full.
pub(crate) fn run(args: &StatusArgs, common: &CommonArgs) -> Result<(), Exit> {
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    if let Some(pace) = args.watch {
        return watch::run(&socket, pace, common.json);
    }
    let seen = DaemonState::ask(&mut Client::connect(PROGRAM, &socket)?)?;
    if common.json {
        return crate::json::print(&status_event(&seen));
    }
    let mut text = String::new();
    let mut lines = table::lines(&seen);
    if format::prints_colours() {
        lines = table::tinted(lines, seen.status());
    }
    for line in lines {
        text += &line;
        text.push('\n');
    }
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Exit::stdout(&error))
}
