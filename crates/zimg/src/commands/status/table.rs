//! The output of `zimg status`: one line for each topic.

use zimg_client::{Overview, Setup, Status, Weights, WorkerState, WorkerStatus};

use crate::daemon_state::DaemonState;
use crate::format;
use crate::version::VERSION;

/// Width of the names before the lines.
const NAME: usize = 9;

/// The lines of the table, escaped for a terminal.
pub(super) fn lines(seen: &DaemonState) -> Vec<String> {
    let DaemonState { overview, setup, .. } = seen;
    let status = &overview.status;
    let several = status.workers.len() > 1;
    let mut lines = vec![format::printable(&format!(
        "zimaged {}, pid {}, up {}",
        status.version,
        status.pid,
        format::uptime(status.uptime_s)
    ))];
    for worker in workers(status) {
        let name =
            if several { format!("worker {}", worker.worker.0) } else { "worker".to_owned() };
        lines.extend(lines_of(&name, worker));
        let plan = seen.plan_of(worker.worker);
        lines.extend(plan.map(|plan| line("plan", &plan.sentence)));
    }
    lines.push(line("jobs", &jobs(overview)));
    let (open, limits) = (overview.connections, overview.limits.connections);
    lines.push(line("clients", &format!("{open} of {limits} connections")));
    lines.extend(kept(overview, setup).map(|kept| line("detached", &kept)));
    lines.extend(setup.config.iter().map(|config| line("config", config)));
    for worker in workers(status) {
        let of = if several { format!("worker {}: ", worker.worker.0) } else { String::new() };
        lines.extend(worker.last_error.iter().map(|error| line("error", &format!("{of}{error}"))));
    }
    if status.version != VERSION {
        lines.push(line("version", &skew(&status.version)));
    }
    lines
}

/// The daemon's workers, or what stands for one where there is none.
fn workers(status: &Status) -> &[WorkerStatus] {
    match &*status.workers {
        [] => std::slice::from_ref(status.first_worker()),
        workers => workers,
    }
}

fn line(name: &str, text: &str) -> String {
    format!("{name:<NAME$}{}", format::printable(text))
}

/// The lines of one worker.
fn lines_of(name: &str, worker: &WorkerStatus) -> Vec<String> {
    let mut lines = vec![line(name, &state(worker))];
    if let Some(model) = &worker.model {
        let loaded = worker.load_s.map(|s| format!(", ready after {}", format::seconds(s)));
        let loaded = loaded.unwrap_or_default();
        let text = format!("{} on {}, {}{loaded}", model.name, model.device, model.dtype);
        lines.push(line("model", &text));
        let (width, height, steps) = (model.width, model.height, format::steps(model.steps));
        let (guidance, tokens) = (model.guidance, model.max_tokens);
        let text = format!(
            "{width}x{height} in {steps}, guidance {guidance}, \
             prompts of up to {tokens} tokens"
        );
        lines.push(line("defaults", &text));
    }
    lines.extend(worker.weights.map(|weights| line("weights", &weights_of(weights))));
    if let Some(memory) = worker.memory {
        let (used, total) = (format::bytes(memory.used), format::bytes(memory.total));
        lines.push(line("memory", &format!("{used} of the device's {total} in use")));
    }
    lines
}

/// The lines with colours: dim names, and each worker's state by its severity.
pub(super) fn tinted(lines: Vec<String>, status: &Status) -> Vec<String> {
    let mut states = workers(status).iter().map(|worker| match worker.state {
        WorkerState::Ready | WorkerState::Busy { .. } => "32",
        WorkerState::Failed(_) => "1;31",
        WorkerState::Restarting { .. } => "33",
        _ => "36",
    });
    let paint = |line: String| match (line.get(..NAME), line.get(NAME..)) {
        (Some(name), Some(text)) if name.starts_with("worker ") => {
            let state = states.next().unwrap_or("36");
            let (shown, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
            format!("\x1b[2m{name}\x1b[0m\x1b[{state}m{shown}\x1b[0m{rest}")
        }
        (Some(name @ ("error    " | "version  ")), Some(text)) => {
            format!("\x1b[31m{name}\x1b[0m{text}")
        }
        (Some(name), Some(text)) if name.ends_with(' ') => format!("\x1b[2m{name}\x1b[0m{text}"),
        _ => format!("\x1b[1m{line}\x1b[0m"),
    };
    lines.into_iter().map(paint).collect()
}

fn state(worker: &WorkerStatus) -> String {
    let mut text = format::worker(&worker.state);
    if let Some(pid) = worker.pid {
        text += &format!(", pid {pid}");
    }
    if let Some(age) = worker.age_s {
        text += &format!(", up {}", format::uptime(age));
    }
    let again = if worker.restarts == 1 { "time" } else { "times" };
    text + &format!(", restarted {} {again}", worker.restarts)
}

fn weights_of(weights: Weights) -> String {
    match weights {
        Weights::Read { bytes } => format!("read from the checkpoint, {}", format::bytes(bytes)),
        Weights::Retained { bytes } => {
            format!("retained from an earlier worker, {}", format::bytes(bytes))
        }
    }
}

fn jobs(overview: &Overview) -> String {
    let Overview { status, limits, unfinished, wait_ms, .. } = overview;
    let Status { queued, done, failed, .. } = status;
    let wait = wait_ms
        .filter(|ms| *ms > 0)
        .map(|ms| format!("; a new one would wait about {}", format::seconds(ms as f32 / 1e3)));
    let (wait, places) = (wait.unwrap_or_default(), limits.jobs);
    format!(
        "{unfinished} of {places} places taken, {queued} waiting{wait}; {done} done, {failed} failed"
    )
}

/// Detached jobs with images to fetch, and their directory; none if detached jobs are off.
fn kept(overview: &Overview, setup: &Setup) -> Option<String> {
    let folder = setup.state_dir.as_ref();
    let place = folder.map(|folder| format!(" in {folder}")).unwrap_or_default();
    let jobs = match overview.detached {
        1 => "1 job".to_owned(),
        kept => format!("{kept} jobs"),
    };
    match &overview.store_failure {
        None => Some(format!("{jobs} to fetch{place}")),
        Some(trouble) => {
            let hint = trouble.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            folder.map(|_| format!("{jobs} to fetch{place}: {}{hint}", trouble.message))
        }
    }
}

fn skew(version: &str) -> String {
    format!(
        "zimg is {VERSION}, zimaged {version}: install both from one build, then restart zimaged"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::{
        Capabilities, Counters, DaemonLimits, DeviceMemory, Failure, Kind, ModelInfo,
        PlannedMemory, WorkerId, WorkerPlan,
    };

    fn status() -> Status {
        Status {
            version: VERSION.to_owned(),
            pid: 7,
            uptime_s: 3,
            workers: vec![WorkerStatus {
                state: WorkerState::Ready,
                pid: Some(8),
                restarts: 1,
                ..WorkerStatus::default()
            }],
            queued: 2,
            done: 0,
            failed: 1,
        }
    }

    fn with_worker(change: impl FnOnce(&mut WorkerStatus)) -> Status {
        let mut status = status();
        change(&mut status.workers[0]);
        status
    }

    fn overview(status: &Status) -> Overview {
        let mut status = status.clone();
        let worker = &mut status.workers[0];
        worker.weights = Some(Weights::Retained { bytes: 20_500_000_000 });
        worker.memory = Some(DeviceMemory { used: 22_900_000_000, total: 85_500_000_000 });
        worker.age_s = Some(3700);
        Overview {
            status,
            limits: DaemonLimits { jobs: 64, jobs_per_user: 8, connections: 32 },
            unfinished: 3,
            connections: 4,
            detached: 1,
            store_failure: None,
            wait_ms: Some(2300),
            counters: Counters::default(),
        }
    }

    fn shown(seen: &DaemonState) -> String {
        lines(seen).join("\n")
    }

    fn planned() -> PlannedMemory {
        PlannedMemory {
            sentence: "bfloat16, 14 of 32 blocks resident, text encoder streamed: 7.8 GiB"
                .to_owned(),
            budget: 8 << 30,
            peak: 8_375_000_000,
            blocks: 32,
            resident_blocks: 14,
            text_encoder: false,
            strips: false,
            packed: false,
            image_s: None,
            new_prompt_s: None,
        }
    }

    fn setup() -> Setup {
        Setup { config: None, model: "tiny".to_owned(), state_dir: None }
    }

    #[test]
    fn another_version_and_an_error_are_shown() {
        let mut status = with_worker(|worker| {
            worker.state = WorkerState::Loading { done: 5_000_000, total: 20_000_000 };
            worker.last_error = Some("the worker was killed\nby signal \x1b[1m9".to_owned());
        });
        status.version = "0.0.9".to_owned();
        let overview = Overview { status, wait_ms: None, ..overview(&self::status()) };
        assert_eq!(
            shown(&DaemonState { overview, setup: setup(), plans: Vec::new() }),
            format!(
                "zimaged 0.0.9, pid 7, up 3 s\n\
                 worker   loading the model, 25 % (5 MB of 20 MB), pid 8, restarted 1 time\n\
                 jobs     3 of 64 places taken, 2 waiting; 0 done, 1 failed\n\
                 clients  4 of 32 connections\n\
                 detached 1 job to fetch\n\
                 error    the worker was killed\\nby signal \\u{{1b}}[1m9\n\
                 version  zimg is {VERSION}, zimaged 0.0.9: install both from one build, then restart \
                 zimaged"
            )
        );
    }

    #[test]
    fn each_of_several_workers_has_its_lines_and_its_colour() {
        let mut overview = overview(&status());
        overview.status.workers.push(WorkerStatus {
            worker: WorkerId(1),
            state: WorkerState::Failed(Failure::new(Kind::Internal, "it died")),
            last_error: Some("it died".to_owned()),
            ..WorkerStatus::default()
        });
        let lines =
            lines(&DaemonState { setup: setup(), overview: overview.clone(), plans: Vec::new() });
        assert_eq!(
            lines[1..6],
            [
                "worker 0 ready, pid 8, up 1 h 1 min, restarted 1 time",
                "weights  retained from an earlier worker, 20.5 GB",
                "memory   22.9 GB of the device's 85.5 GB in use",
                "worker 1 the worker failed: it died, restarted 0 times",
                "jobs     3 of 64 places taken, 2 waiting; a new one would wait about 2.30 s; 0 done, \
                 1 failed"
            ]
        );
        assert_eq!(lines.last().map(String::as_str), Some("error    worker 1: it died"));
        let painted = tinted(lines, &overview.status);
        assert!(painted[1].contains("\x1b[32mready\x1b[0m"), "{painted:?}");
        assert!(painted[4].contains("\x1b[1;31mthe worker failed"), "{painted:?}");
    }

    #[test]
    fn all_there_is_to_say_fits_on_one_screen() {
        let model = ModelInfo {
            name: "Z-Image-Turbo".to_owned(),
            device: "cuda:0 (NVIDIA H100)".to_owned(),
            dtype: "bfloat16".to_owned(),
            width: 1024,
            height: 1024,
            steps: 8,
            guidance: 0.0,
            max_tokens: 1504,
            capabilities: Capabilities::default(),
        };
        let status = with_worker(|worker| {
            (worker.model, worker.load_s) = (Some(model), Some(1.4));
        });
        let setup = Setup {
            config: Some("/etc/zimaged/zimaged.toml".to_owned()),
            model: "/srv/models/Z-Image-Turbo".to_owned(),
            state_dir: Some("/var/lib/zimaged".to_owned()),
        };
        let plans = vec![WorkerPlan { worker: WorkerId(0), plan: planned() }];
        let seen = DaemonState { overview: overview(&status), setup, plans };
        let text = shown(&seen);
        assert_eq!(
            text,
            format!(
                "zimaged {VERSION}, pid 7, up 3 s\n\
                 worker   ready, pid 8, up 1 h 1 min, restarted 1 time\n\
                 model    Z-Image-Turbo on cuda:0 (NVIDIA H100), bfloat16, ready after 1.40 s\n\
                 defaults 1024x1024 in 8 steps, guidance 0, prompts of up to 1504 tokens\n\
                 weights  retained from an earlier worker, 20.5 GB\n\
                 memory   22.9 GB of the device's 85.5 GB in use\n\
                 plan     bfloat16, 14 of 32 blocks resident, text encoder streamed: 7.8 GiB\n\
                 jobs     3 of 64 places taken, 2 waiting; a new one would wait about 2.30 s; 0 done, \
                 1 failed\n\
                 clients  4 of 32 connections\n\
                 detached 1 job to fetch in /var/lib/zimaged\n\
                 config   /etc/zimaged/zimaged.toml"
            )
        );
        assert!(text.lines().count() <= 24);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let failed = with_worker(|worker| {
            worker.state = WorkerState::Failed(Failure::new(Kind::Internal, "it died, twice"));
            worker.last_error = Some("it died".to_owned());
        });
        for status in [status(), failed] {
            let seen =
                DaemonState { overview: overview(&status), setup: setup(), plans: Vec::new() };
            let plain = lines(&seen);
            let painted = tinted(plain.clone(), seen.status());
            let uncoloured: Vec<_> = painted
                .iter()
                .map(|line| {
                    let codes = ["0", "1", "2", "31", "32", "1;31"].map(|c| format!("\x1b[{c}m"));
                    codes.iter().fold(line.clone(), |line, code| line.replace(code, ""))
                })
                .collect();
            assert_eq!(uncoloured, plain);
            let failed = seen.status().first_worker().last_error.is_some();
            let colour = if failed { "1;31" } else { "32" };
            assert!(painted[1].contains(&format!("\x1b[{colour}m")), "{painted:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_state_folder_is_said_where_there_is_to_be_one() {
        let said = |state_dir: Option<&str>| {
            let status = status();
            let failure = Failure::new(Kind::Io, "cannot store jobs in /s: it is full");
            let mut overview = overview(&status);
            overview.store_failure = Some(failure.hint("make room"));
            overview.status.workers[0].weights = Some(Weights::Read { bytes: 1000 });
            let setup = Setup {
                config: None,
                model: "tiny".to_owned(),
                state_dir: state_dir.map(str::to_owned),
            };
            shown(&DaemonState { overview, setup, plans: Vec::new() })
        };
        let kept = "detached 1 job to fetch in /s: cannot store jobs in /s: it is full; make room";
        assert!(said(Some("/s")).lines().any(|line| line == kept), "{}", said(Some("/s")));
        assert!(said(Some("/s")).contains("weights  read from the checkpoint, 1 kB"));
        assert!(!said(None).contains("kept "), "{}", said(None));
    }
}
