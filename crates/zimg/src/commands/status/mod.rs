//! `zimg status`: the daemon's state on one screen, once or live.

mod keys;
mod screen;
mod watch;

use std::io::{self, Write as _};

use zimg_client::{Client, Failure, Overview, Setup};

use super::PROGRAM;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::{Common, Status};
use crate::{json, words};

/// What a daemon says about itself; one of minor version 0 says less.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: zimg_client::Status,
    pub(crate) overview: Option<Overview>,
    pub(crate) setup: Option<Setup>,
}

/// Asks the daemon and prints its answer; with `--watch` again and again.
///
/// # Errors
///
/// No daemon, or standard output is full.
pub(crate) fn run(typed: &Status, common: &Common) -> Result<(), Stop> {
    let socket = common.find_socket(&Settings::read()?)?;
    if let Some(pace) = typed.watch {
        return watch::run(&socket, pace, common.json);
    }
    let seen = Seen::ask(&mut Client::connect(PROGRAM, &socket)?)?;
    if common.json {
        return json::print(json::status(&seen));
    }
    let mut text = String::new();
    let mut lines = screen::lines(&seen);
    if words::prints_colours() {
        lines = screen::tinted(lines, &seen.status.worker);
    }
    for line in lines {
        text += &line;
        text.push('\n');
    }
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Stop::writing(&error))
}

impl Seen {
    /// Asks for all that this daemon can say.
    pub(crate) fn ask(client: &mut Client) -> Result<Self, Failure> {
        if client.minor() == 0 {
            return Ok(Self { status: client.status()?, overview: None, setup: None });
        }
        let overview = client.overview()?;
        let setup = Some(client.setup()?);
        Ok(Self { status: overview.status.clone(), overview: Some(overview), setup })
    }
}
