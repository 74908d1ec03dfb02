//! `zimg status`: the daemon's state on one screen.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use zimg_client::{Client, Status};

use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::Common;
use crate::{json, words};

use super::PROGRAM;

/// Asks the daemon and prints its answer.
///
/// # Errors
///
/// No daemon, or standard output is full.
pub(crate) fn run(common: &Common) -> Result<(), Stop> {
    let socket = common.find_socket(&Settings::read()?)?;
    let status = Client::connect(PROGRAM, &socket)?.status()?;
    if common.json {
        return json::print(json::status(&status));
    }
    let written = io::stdout().lock().write_all(screen(&status).as_bytes());
    written.map_err(|error| Stop::writing(&error))
}

fn screen(status: &Status) -> String {
    let Status { version, pid, queued, done, failed, restarts, .. } = status;
    let version = words::printable(version);
    let mut text = format!("zimaged {version}, pid {pid}, up {}\n", words::uptime(status.uptime_s));
    let worker = words::printable(&words::worker(&status.worker));
    let pid = status.worker_pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let again = if *restarts == 1 { "time" } else { "times" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "worker  {worker}{pid}, started again {restarts} {again}");
    if let Some(model) = &status.model {
        let loaded = status.load_s.map(|s| format!(", ready after {}", words::seconds(s)));
        let loaded = loaded.unwrap_or_default();
        let what = format!("{} on {}, {}", model.name, model.device, model.dtype);
        let _ = writeln!(text, "model   {}{loaded}", words::printable(&what));
        let (width, height, steps) = (model.width, model.height, model.steps);
        let (guidance, tokens) = (model.guidance, model.max_tokens);
        let _ = writeln!(
            text,
            "draws   {width}x{height} in {steps} steps, guidance {guidance}, \
             prompts of up to {tokens} tokens"
        );
    }
    let _ = writeln!(text, "jobs    {queued} waiting, {done} done, {failed} failed");
    if let Some(error) = &status.last_error {
        let _ = writeln!(text, "error   {}", words::printable(error));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::WorkerState;

    #[test]
    fn a_daemon_that_loads_fits_on_a_few_lines() {
        let status = Status {
            version: "0.1.0".to_owned(),
            pid: 7,
            uptime_s: 3,
            worker: WorkerState::Loading { done: 5_000_000, total: 20_000_000 },
            worker_pid: Some(8),
            restarts: 1,
            model: None,
            load_s: None,
            queued: 2,
            done: 0,
            failed: 1,
            last_error: Some("the worker was killed\nby signal \x1b[1m9".to_owned()),
        };
        assert_eq!(
            screen(&status),
            "zimaged 0.1.0, pid 7, up 3 s\n\
             worker  loading the model, 25 % (5 MB of 20 MB), pid 8, started again 1 time\n\
             jobs    2 waiting, 0 done, 1 failed\n\
             error   the worker was killed\\nby signal \\u{1b}[1m9\n"
        );
    }
}
