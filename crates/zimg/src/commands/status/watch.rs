//! `zimg status --watch`: on a terminal a table that is redrawn in place, with the user's jobs below
//! it; elsewhere a line for each change. It reconnects to a daemon that restarts.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use jiff::ZonedDateTime;
use serde::Serialize;
use zimg_client::{Client, Failure, JobInfo, WorkerStatus};

use super::json::status_event;
use super::keys::{Keys, Woken};
use super::table;
use crate::commands::jobs;
use crate::daemon_state::DaemonState;
use crate::exit::Exit;
use crate::json::FailureFields;
use crate::version::PROGRAM;
use crate::{format, json};

/// Shows the state of the daemon until q, Ctrl-C, or a closed standard output.
///
/// # Errors
///
/// No daemon answers at the beginning, or standard output is full.
pub(super) fn run(socket: &Path, pace: Duration, json: bool) -> Result<(), Exit> {
    let mut client = Some(Client::connect(PROGRAM, socket)?);
    let terminal = io::stdout().is_terminal() && !format::is_dumb() && !json;
    let keys = Keys::take(terminal)?;
    let mut view = if terminal {
        View::Terminal(LiveTable::default())
    } else {
        View::Lines { json, said: String::new() }
    };
    loop {
        let look = look(&mut client, socket, terminal);
        view.show(&look)?;
        if keys.wait(pace)? == Woken::Quit {
            return Ok(());
        }
    }
}

/// The daemon that is watched does not answer.
#[derive(Serialize)]
#[serde(tag = "event", rename = "lost")]
struct LostEvent<'a> {
    #[serde(flatten)]
    failure: FailureFields<'a>,
}

/// The state and the jobs, or why the daemon does not answer.
type Look = Result<(DaemonState, Vec<JobInfo>), Failure>;

fn look(client: &mut Option<Client>, socket: &Path, with_jobs: bool) -> Look {
    let ask = |client: &mut Client| {
        let seen = DaemonState::ask(client)?;
        let jobs = if with_jobs { client.jobs()? } else { Vec::new() };
        Ok::<_, Failure>((seen, jobs))
    };
    if let Some(mut before) = client.take()
        && let Ok(look) = ask(&mut before)
    {
        *client = Some(before);
        return Ok(look);
    }
    // The daemon may have been restarted.
    let mut now = Client::connect(PROGRAM, socket)?;
    let look = ask(&mut now)?;
    *client = Some(now);
    Ok(look)
}

enum View {
    Terminal(LiveTable),
    /// `said` is the last line that was printed.
    Lines {
        json: bool,
        said: String,
    },
}

impl View {
    fn show(&mut self, look: &Look) -> Result<(), Exit> {
        match self {
            Self::Terminal(frame) => {
                let lines = match look {
                    Ok((seen, list)) => {
                        let mut lines = table::lines(seen);
                        if format::wants_colours() {
                            lines = table::tinted(lines, seen.status());
                        }
                        if !list.is_empty() {
                            lines.push(String::new());
                            lines.extend(jobs::table_now(list, None).lines().map(str::to_owned));
                        }
                        lines
                    }
                    Err(failure) => lost(failure),
                };
                frame.show(&lines)
            }
            Self::Lines { json, said } => {
                let line = match look {
                    Ok((seen, _)) => change(seen),
                    Err(failure) => format::printable(&failure.message),
                };
                if *said == line {
                    return Ok(());
                }
                said.clone_from(&line);
                match look {
                    Ok((seen, _)) if *json => json::print(&status_event(seen)),
                    Err(failure) if *json => json::print(&LostEvent { failure: failure.into() }),
                    _ => print(&format!("{} {line}\n", ZonedDateTime::now().strftime("%H:%M:%S"))),
                }
            }
        }
    }
}

/// The lines if no daemon answers.
fn lost(failure: &Failure) -> Vec<String> {
    let hint = failure.hint.iter().map(|hint| format!("hint: {}", format::printable(hint)));
    std::iter::once(format::printable(&failure.message)).chain(hint).collect()
}

/// The line that is printed when it changes.
fn change(seen: &DaemonState) -> String {
    let status = seen.status();
    let states: Vec<_> = match &*status.workers {
        [_, _, ..] => {
            let state = |worker: &WorkerStatus| {
                format!("worker {}: {}", worker.worker.0, format::worker(&worker.state))
            };
            status.workers.iter().map(state).collect()
        }
        _ => vec![format::worker(&status.first_worker().state)],
    };
    let mut text = format!(
        "{}; {} waiting, {} done, {} failed",
        states.join(", "),
        status.queued,
        status.done,
        status.failed
    );
    for error in status.workers.iter().filter_map(|worker| worker.last_error.as_ref()) {
        text += &format!("; last error: {error}");
    }
    format::printable(&text)
}

/// Lines that are redrawn in place.
#[derive(Debug, Default)]
struct LiveTable {
    shown: usize,
}

impl LiveTable {
    fn show(&mut self, lines: &[String]) -> Result<(), Exit> {
        let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_row);
        // One row remains for the cursor: a full terminal would scroll.
        let room = if rows < 2 { usize::MAX } else { usize::from(rows) - 1 };
        let text = redrawn(lines, room, self.shown);
        self.shown = lines.len().min(room);
        print(&text)
    }
}

/// Shows the cursor again, below the last lines.
impl Drop for LiveTable {
    fn drop(&mut self) {
        if self.shown > 0 {
            let _ = print("\x1b[?25h");
        }
    }
}

/// The escape sequences that replace `shown` earlier lines. The terminal cuts long lines, since it
/// knows the width of characters.
fn redrawn(lines: &[String], room: usize, shown: usize) -> String {
    let mut text = "\x1b[?25l\x1b[?7l".to_owned();
    if shown > 0 {
        text += &format!("\x1b[{shown}A");
    }
    for line in lines.iter().take(room) {
        text += &format!("\r{line}\x1b[K\n");
    }
    text + "\r\x1b[J\x1b[?7h"
}

fn print(text: &str) -> Result<(), Exit> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Exit::stdout(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_takes_the_place_of_the_one_before() {
        let lines = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let first = redrawn(&lines, 9, 0);
        assert_eq!(first, "\x1b[?25l\x1b[?7l\ra\x1b[K\n\rb\x1b[K\n\rc\x1b[K\n\r\x1b[J\x1b[?7h");
        let cut = redrawn(&lines, 2, 3);
        assert_eq!(cut, "\x1b[?25l\x1b[?7l\x1b[3A\ra\x1b[K\n\rb\x1b[K\n\r\x1b[J\x1b[?7h");
    }
}
