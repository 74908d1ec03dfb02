//! `zimg status`: the daemon's state on one screen.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use zimg_client::{Client, Overview, Status, Weights};

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
    let mut client = Client::connect(PROGRAM, &socket)?;
    let status = client.status()?;
    if common.json {
        return json::print(json::status(&status));
    }
    // A daemon of an earlier minor version does not know it.
    let overview = client.overview().ok();
    let text = screen(&status, overview.as_ref());
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Stop::writing(&error))
}

fn screen(status: &Status, overview: Option<&Overview>) -> String {
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
    let weights = overview.and_then(|overview| overview.weights);
    if let Some(weights) = weights {
        let _ = match weights {
            Weights::Read { bytes } => {
                writeln!(text, "weights read from the checkpoint, {}", words::bytes(bytes))
            }
            Weights::Kept { bytes } => {
                writeln!(text, "weights kept from an earlier worker, {}", words::bytes(bytes))
            }
        };
    }
    if let Some(memory) = overview.and_then(|overview| overview.memory) {
        let (used, total) = (words::bytes(memory.used), words::bytes(memory.total));
        let _ = writeln!(text, "memory  {used} of the device's {total} in use");
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
    use zimg_client::{Counters, DeviceMemory, Places, WorkerState};

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
            screen(&status, None),
            "zimaged 0.1.0, pid 7, up 3 s\n\
             worker  loading the model, 25 % (5 MB of 20 MB), pid 8, started again 1 time\n\
             jobs    2 waiting, 0 done, 1 failed\n\
             error   the worker was killed\\nby signal \\u{1b}[1m9\n"
        );
    }

    #[test]
    fn where_the_weights_are_from_is_said_with_the_memory() {
        let status = Status {
            version: "0.1.0".to_owned(),
            pid: 7,
            uptime_s: 3,
            worker: WorkerState::Ready,
            worker_pid: None,
            restarts: 0,
            model: None,
            load_s: None,
            queued: 0,
            done: 0,
            failed: 0,
            last_error: None,
        };
        let said = |weights| {
            let overview = Overview {
                status: status.clone(),
                weights: Some(weights),
                memory: Some(DeviceMemory { used: 22_900_000_000, total: 85_500_000_000 }),
                worker_age_s: None,
                places: Places { jobs: 64, jobs_per_user: 8, connections: 32 },
                unfinished: 0,
                connections: 1,
                kept: 0,
                keeping: None,
                wait_ms: None,
                counters: Counters::default(),
            };
            let screen = screen(&status, Some(&overview));
            screen.lines().skip(2).take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let memory = "memory  22.9 GB of the device's 85.5 GB in use";
        assert_eq!(
            said(Weights::Read { bytes: 20_500_000_000 }),
            ["weights read from the checkpoint, 20.5 GB", memory]
        );
        assert_eq!(
            said(Weights::Kept { bytes: 20_500_000_000 }),
            ["weights kept from an earlier worker, 20.5 GB", memory]
        );
    }
}
