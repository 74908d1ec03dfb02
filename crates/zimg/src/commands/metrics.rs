//! `zimg metrics`: the daemon's metrics in Prometheus' text format, for node_exporter's textfile
//! collector.
//!
//! Source: Prometheus' "Exposition formats", text format 0.0.4, and its names' conventions: base
//! units, `_total` for what only grows, `_info` for words.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use zimg_client::{Client, Failure, Kind, Overview, Weights, WorkerState, WorkerStatus};

use crate::cli::CommonArgs;
use crate::exit::Exit;
use crate::settings::UserSettings;
use crate::version::PROGRAM;

/// The states of a worker, named as in `zimg status --json`.
const STATES: [&str; 9] = [
    "starting",
    "loading",
    "warming",
    "ready",
    "busy",
    "draining",
    "restarting",
    "failed",
    "asleep",
];

/// Prints the metrics. That no daemon answers is a metric, too.
///
/// # Errors
///
/// No daemon answers, `--json` was given, or standard output is closed or full.
pub(crate) fn run(common: &CommonArgs) -> Result<(), Exit> {
    if common.json {
        let failure = Failure::new(Kind::Usage, "metrics are text for Prometheus, not JSON");
        return Err(failure.hint("`zimg status --json` prints the state of the daemon").into());
    }
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    let asked = ask(&socket);
    print(&text(asked.as_ref().ok()))?;
    Ok(asked.map(drop)?)
}

fn ask(socket: &std::path::Path) -> Result<Overview, Failure> {
    Client::connect(PROGRAM, socket)?.overview()
}

fn print(text: &str) -> Result<(), Exit> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::stdout(&error))
}

/// All metrics of a daemon; `zimg_up 0` if none answers.
fn text(overview: Option<&Overview>) -> String {
    let mut page = Page::default();
    page.gauge("up", "Whether the daemon answers.", flag(overview.is_some()));
    if let Some(overview) = overview {
        page.daemon(overview);
        page.workers(&overview.status.workers);
        page.jobs(overview);
    }
    page.0
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn daemon(&mut self, overview: &Overview) {
        let status = &overview.status;
        let versions = [("version", &*status.version), ("zimg_version", env!("CARGO_PKG_VERSION"))];
        self.family("build_info", "gauge", "Versions of zimaged and of zimg.");
        self.sample("build_info", &versions, 1.0);
        self.gauge("uptime_seconds", "Time since the daemon's start.", status.uptime_s as f64);
        self.gauge("connections", "Open connections.", overview.connections.into());
        self.gauge("connections_max", "Limit of connections.", overview.limits.connections.into());
    }

    fn workers(&mut self, workers: &[WorkerStatus]) {
        self.family("worker_state", "gauge", "A worker's state: 1 for one of the states.");
        for worker in workers {
            let (id, present) = (worker.worker.0.to_string(), state(&worker.state));
            for name in STATES {
                self.sample(
                    "worker_state",
                    &[("worker", &id), ("state", name)],
                    flag(name == present),
                );
            }
        }
        self.of_workers(
            "worker_age_seconds",
            "gauge",
            "Time since the worker's start.",
            workers,
            |worker| worker.age_s.map(|age| age as f64),
        );
        self.of_workers(
            "worker_restarts_total",
            "counter",
            "Restarts of the worker.",
            workers,
            |worker| Some(worker.restarts.into()),
        );
        self.of_workers(
            "load_seconds",
            "gauge",
            "Time from the worker's start to ready.",
            workers,
            |worker| worker.load_s.map(f64::from),
        );
        self.models(workers);
        self.of_workers("weights_bytes", "gauge", "Size of the weights.", workers, |worker| {
            let (Weights::Read { bytes } | Weights::Retained { bytes }) = worker.weights?;
            Some(bytes as f64)
        });
        self.of_workers(
            "weights_retained",
            "gauge",
            "Whether they come from an earlier worker: 1 if nothing was read.",
            workers,
            |worker| Some(flag(matches!(worker.weights?, Weights::Retained { .. }))),
        );
        self.of_workers(
            "memory_used_bytes",
            "gauge",
            "Used device memory, by all processes.",
            workers,
            |worker| Some(worker.memory?.used as f64),
        );
        self.of_workers("memory_total_bytes", "gauge", "Device memory.", workers, |worker| {
            Some(worker.memory?.total as f64)
        });
    }

    fn models(&mut self, workers: &[WorkerStatus]) {
        let loaded = workers.iter().filter_map(|worker| Some((worker, worker.model.as_ref()?)));
        let loaded: Vec<_> = loaded.collect();
        if loaded.is_empty() {
            return;
        }
        self.family("model_info", "gauge", "The loaded model and its device.");
        for (worker, model) in loaded {
            let words = [
                ("worker", &*worker.worker.0.to_string()),
                ("name", &model.name),
                ("device", &model.device),
                ("dtype", &model.dtype),
            ];
            self.sample("model_info", &words, 1.0);
        }
    }

    /// A figure of each worker that has it; no family if none has.
    fn of_workers(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        workers: &[WorkerStatus],
        figure: impl Fn(&WorkerStatus) -> Option<f64>,
    ) {
        let figures: Vec<_> = workers
            .iter()
            .filter_map(|worker| Some((worker.worker.0.to_string(), figure(worker)?)))
            .collect();
        if figures.is_empty() {
            return;
        }
        self.family(name, kind, help);
        for (id, value) in figures {
            self.sample(name, &[("worker", &id)], value);
        }
    }

    fn jobs(&mut self, overview: &Overview) {
        let Overview { status, counters, limits, .. } = overview;
        self.gauge("jobs", "Unfinished jobs: running and waiting.", overview.unfinished.into());
        self.gauge("jobs_queued", "Waiting jobs.", status.queued.into());
        self.gauge("jobs_max", "Limit of unfinished jobs.", limits.jobs.into());
        self.gauge(
            "jobs_detached",
            "Detached jobs with images to fetch.",
            overview.detached.into(),
        );
        if let Some(ms) = overview.wait_ms {
            let seconds = ms as f64 / 1e3;
            self.gauge("wait_seconds", "Estimated wait of a job that is submitted now.", seconds);
        }
        let troubled = overview.store_failure.is_some();
        self.gauge(
            "store_failing",
            "Whether the job store fails and detached jobs are refused.",
            flag(troubled),
        );
        self.counter("jobs_done", "Jobs that succeeded.", status.done as f64);
        self.counter("jobs_failed", "Jobs that failed.", status.failed as f64);
        self.counter("jobs_cancelled", "Cancelled jobs.", counters.cancelled as f64);
        self.counter(
            "jobs_busy",
            "Jobs refused because a limit was reached.",
            counters.busy as f64,
        );
        self.counter(
            "jobs_resumed",
            "Jobs resumed after a worker's death.",
            counters.resumed as f64,
        );
        self.counter(
            "jobs_preempted",
            "Preemptions by interactive jobs.",
            counters.preempted as f64,
        );
        self.counter("images", "Images delivered or stored.", counters.images as f64);
        self.counter("steps", "Denoising steps.", counters.steps as f64);
        self.counter("step_seconds", "Time of these steps.", counters.step_seconds);
        self.counter(
            "log_lines_lost",
            "Lines that zimaged's log did not take.",
            counters.log_lines_lost as f64,
        );
    }

    /// A value that rises and falls.
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A value that only rises until the daemon restarts.
    fn counter(&mut self, name: &str, help: &str, value: f64) {
        let name = format!("{name}_total");
        self.family(&name, "counter", help);
        self.sample(&name, &[], value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP zimg_{name} {help}\n# TYPE zimg_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "zimg_{name}{labels} {value}");
    }
}

/// The value of a label, escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn state(state: &WorkerState) -> &'static str {
    match state {
        WorkerState::Starting => "starting",
        WorkerState::Loading { .. } => "loading",
        WorkerState::Warming => "warming",
        WorkerState::Ready => "ready",
        WorkerState::Busy { .. } => "busy",
        WorkerState::Draining => "draining",
        WorkerState::Restarting { .. } => "restarting",
        WorkerState::Failed(_) => "failed",
        WorkerState::Asleep => "asleep",
    }
}

#[cfg(test)]
mod tests {
    use zimg_client::WorkerId;

    use super::*;

    #[test]
    fn where_there_is_no_daemon_that_is_the_figure() {
        let expected =
            "# HELP zimg_up Whether the daemon answers.\n# TYPE zimg_up gauge\nzimg_up 0\n";
        assert_eq!(text(None), expected);
    }

    #[test]
    fn each_worker_has_its_figures_under_its_number() {
        let worker = |id, restarts, age_s| WorkerStatus {
            worker: WorkerId(id),
            state: WorkerState::Ready,
            restarts,
            age_s,
            ..WorkerStatus::default()
        };
        let mut page = Page::default();
        page.workers(&[worker(0, 3, Some(7)), worker(1, 0, None)]);
        for line in [
            "zimg_worker_state{worker=\"0\",state=\"ready\"} 1",
            "zimg_worker_state{worker=\"1\",state=\"busy\"} 0",
            "zimg_worker_restarts_total{worker=\"0\"} 3",
            "zimg_worker_restarts_total{worker=\"1\"} 0",
            "zimg_worker_age_seconds{worker=\"0\"} 7",
        ] {
            assert!(page.0.lines().any(|found| found == line), "{line}: {}", page.0);
        }
        assert_eq!(page.0.matches("# TYPE zimg_worker_restarts_total counter").count(), 1);
        assert!(!page.0.contains("zimg_memory_used_bytes"), "no worker reports it");
    }

    #[test]
    fn words_are_escaped() {
        let mut page = Page::default();
        page.sample("model_info", &[("name", "a \"b\"\\\nc"), ("device", "cpu")], 1.0);
        assert_eq!(page.0, "zimg_model_info{name=\"a \\\"b\\\"\\\\\\nc\",device=\"cpu\"} 1\n");
    }

    #[test]
    fn every_state_has_a_name_that_is_listed() {
        let failure = Failure::new(Kind::Config, "");
        for present in [WorkerState::Ready, WorkerState::Failed(failure), WorkerState::Asleep] {
            assert!(STATES.contains(&state(&present)));
        }
    }
}
