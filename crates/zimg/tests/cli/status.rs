//! `zimg status`, once and live.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use zimg_protocol::messages::{
    Counters, DeviceMemory, Event, Overview, PlannedMemory, Request, Setup, Weights, WorkerId,
    WorkerPlan, WorkerState, WorkerStatus,
};
use zimg_protocol::{Failure, Kind};

use crate::fake::{Fake, Peer, overview, with_worker};
use crate::jobs::jobs;
use crate::pty::written_to;
use crate::terminal::uncoloured;

/// A daemon that is so.
pub(crate) fn being(overview: Overview) -> Fake {
    Fake::being(overview, |peer, request| {
        assert_eq!(request, Request::Setup);
        peer.say(Event::Setup(Box::new(setup())));
        assert_eq!(peer.request(), Some(Request::MemoryPlans));
        peer.say(Event::MemoryPlans(plans()));
    })
}

/// The first worker's memory plan.
fn plans() -> Vec<WorkerPlan> {
    let plan = PlannedMemory {
        sentence: "bfloat16, 14 of 32 blocks resident: 7.8 GiB".to_owned(),
        budget: 8 << 30,
        peak: 8_375_000_000,
        blocks: 32,
        resident_blocks: 14,
        text_encoder: true,
        strips: true,
        packed: false,
        image_s: Some(1.25),
        new_prompt_s: None,
    };
    vec![WorkerPlan { worker: WorkerId(0), plan }]
}

fn setup() -> Setup {
    Setup {
        config: Some("/etc/zimaged/zimaged.toml".to_owned()),
        model: "tiny".to_owned(),
        state_dir: Some("/var/lib/zimaged".to_owned()),
    }
}

/// All that can be said.
pub(crate) fn full() -> Overview {
    Overview {
        detached: 2,
        wait_ms: Some(700),
        counters: Counters { images: 1, steps: 8, step_seconds: 0.5, ..Counters::default() },
        store_failure: Some(Failure::new(Kind::Io, "it is full").hint("make room")),
        ..with_worker(|worker| {
            worker.weights = Some(Weights::Read { bytes: 20_500_000_000 });
            worker.memory = Some(DeviceMemory { used: 3, total: 4 });
            worker.age_s = Some(59);
        })
    }
}

fn in_state(state: WorkerState) -> Overview {
    with_worker(|worker| worker.state = state)
}

/// A daemon that is watched: it says the states one after the other, then stays in the last one
/// until its client goes. Each time it says the last one it also tells the receiver.
fn watched(states: Vec<Overview>) -> (Fake, Receiver<()>) {
    let (told, hears) = channel();
    let fake = Fake::raw(move |mut peer| {
        peer.welcome();
        let mut states = states.into_iter().peekable();
        let mut last = None;
        while let Some(request) = peer.request() {
            match request {
                Request::Overview => {
                    last = states.next().or(last);
                    peer.say(Event::Overview(Box::new(last.clone().unwrap())));
                }
                Request::Setup => {
                    peer.say(Event::Setup(Box::new(setup())));
                    if states.peek().is_none() {
                        let _ = told.send(());
                    }
                }
                Request::MemoryPlans => peer.say(Event::MemoryPlans(Vec::new())),
                Request::Jobs => peer.say(Event::Jobs(jobs())),
                other => panic!("{other:?}"),
            }
        }
    });
    (fake, hears)
}

/// `zimg status` at a terminal of its own, what will have been seen there, and how the terminal
/// was before.
struct AtTerminal {
    child: Child,
    keys: File,
    before: Termios,
    reader: JoinHandle<String>,
    _slave: std::os::fd::OwnedFd,
}

impl AtTerminal {
    fn start(fake: &Fake, arguments: &[&str], rows: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let mut zimg = fake.zimg(arguments);
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = zimg.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(zimg);
        let keys = File::from(master.try_clone().unwrap());
        let reader = thread::spawn(move || written_to(master));
        Self { child, keys, before, reader, _slave: slave }
    }

    fn press(&mut self, key: u8) {
        self.keys.write_all(&[key]).unwrap();
    }

    /// How it ended, and all that was seen; the terminal must be as it was.
    fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        assert_eq!(tcgetattr(&self._slave).unwrap(), self.before);
        drop(self._slave);
        (status, self.reader.join().unwrap())
    }
}

#[test]
fn status_is_a_screen_or_a_line() {
    let bare = || with_worker(|worker| worker.model = None);
    let asked = |arguments: &[&str]| {
        let ran = being(bare()).run(arguments);
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
        ran.text().to_owned()
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        asked(&["status"]),
        format!(
            "zimaged 9.9.9, pid 7, up 1 h 1 min\n\
             worker   ready, pid 8, restarted 0 times\n\
             plan     bfloat16, 14 of 32 blocks resident: 7.8 GiB\n\
             jobs     0 of 64 places taken, 0 waiting; 3 done, 1 failed\n\
             clients  1 of 32 connections\n\
             detached 0 jobs to fetch in /var/lib/zimaged\n\
             config   /etc/zimaged/zimaged.toml\n\
             version  zimg is {version}, zimaged 9.9.9: install both from one build, then restart \
             zimaged\n"
        )
    );
    let counters = "{\"images\":0,\"steps\":0,\"step_seconds\":0.0,\"cancelled\":0,\"busy\":0,\
                    \"resumed\":0,\"preempted\":0,\"log_lines_lost\":0}";
    let plan = "{\"sentence\":\"bfloat16, 14 of 32 blocks resident: 7.8 GiB\",\"budget\":8589934592,\
                \"peak\":8375000000,\"blocks\":32,\"resident_blocks\":14,\
                \"text_encoder\":\"resident\",\"decode\":\"strips\",\"packed\":false,\
                \"image_s\":1.25,\"new_prompt_s\":null}";
    assert_eq!(
        asked(&["status", "--json"]),
        format!(
            "{{\"v\":1,\"event\":\"status\",\"version\":\"9.9.9\",\"pid\":7,\"uptime_s\":3661,\
             \"worker\":{{\"state\":\"ready\",\"id\":0,\"pid\":8,\"restarts\":0,\"load_s\":null,\
             \"last_error\":null,\"age_s\":null}},\"model\":null,\"jobs\":{{\"queued\":0,\"done\":3,\
             \"failed\":1,\"unfinished\":0,\"limit\":64,\"limit_per_user\":8,\"wait_ms\":null}},\
             \"zimg\":\"{version}\",\"weights\":null,\"memory\":null,\"connections\":{{\"open\":1,\
             \"limit\":32}},\"detached\":{{\"jobs\":0,\"directory\":\"/var/lib/zimaged\",\"error\":null}},\
             \"counters\":{counters},\"config\":\"/etc/zimaged/zimaged.toml\",\
             \"workers\":[{{\"state\":\"ready\",\"id\":0,\"pid\":8,\"restarts\":0,\
             \"load_s\":null,\"last_error\":null,\"age_s\":null,\"model\":null,\"weights\":null,\
             \"memory\":null,\"plan\":{plan}}}]}}\n"
        )
    );
}

#[test]
fn every_worker_is_in_the_list_and_the_first_beside_it() {
    let two = || {
        let mut overview = full();
        let second = WorkerStatus {
            worker: WorkerId(1),
            state: WorkerState::Busy { job: 3, step: 1, of: 8 },
            pid: Some(9),
            restarts: 2,
            ..WorkerStatus::default()
        };
        overview.status.workers.push(second);
        overview
    };
    let ran = being(two()).run(&["status", "--json"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    let line: serde_json::Value = serde_json::from_str(ran.text()).unwrap();
    let [first, second] = &line["workers"].as_array().unwrap()[..] else { panic!("{line}") };
    for field in ["id", "state", "pid", "restarts", "load_s", "last_error", "age_s"] {
        assert_eq!(first[field], line["worker"][field], "{field}");
    }
    for field in ["model", "weights", "memory"] {
        assert_eq!(first[field], line[field], "{field}");
        assert!(!first[field].is_null() && second[field].is_null(), "{field}: {line}");
    }
    assert_eq!((&second["id"], &second["state"]), (&1.into(), &"busy".into()));
    assert_eq!((&second["pid"], &second["restarts"]), (&9.into(), &2.into()));
    assert_eq!((&second["job"], &second["step"], &second["of"]), (&3.into(), &1.into(), &8.into()));
    let ran = being(two()).run(&["status"]);
    assert!(ran.text().contains("\nworker 1 running job 3, step 1 of 8, pid 9"), "{}", ran.text());
}

#[test]
fn at_a_terminal_the_screen_is_redrawn_in_place_until_q() {
    let loading = WorkerState::Loading { done: 1, total: 4 };
    let (fake, hears) = watched(vec![in_state(loading), in_state(WorkerState::Ready)]);
    let mut zimg = AtTerminal::start(&fake, &["status", "--watch=0.1"], 40);
    // The second time, the first one with the last state has been generated.
    hears.recv().unwrap();
    hears.recv().unwrap();
    zimg.press(b'x');
    zimg.press(b'q');
    let (status, text) = zimg.end();
    assert_eq!(status.code(), Some(0));
    assert!(text.contains("\x1b[32mready\x1b[0m, pid 8"), "in colours: {text:?}");
    let text = uncoloured(&text);
    let frames: Vec<_> = text.split("\x1b[?25l\x1b[?7l").skip(1).collect();
    assert!(frames[0].starts_with("\rzimaged 9.9.9, pid 7, up 1 h 1 min\x1b[K\r\n"), "{text:?}");
    assert!(frames[0].contains("\rworker   loading the model, 25 %"), "{text:?}");
    // As many rows up as were generated before.
    let rows = frames[0].matches("\x1b[K\r\n").count();
    assert!(frames[1].starts_with(&format!("\x1b[{rows}A\rzimaged")), "{text:?}");
    assert!(frames[1].contains("\rworker   ready, pid 8"), "{text:?}");
    assert!(frames[1].contains("\rJOB  "), "the jobs are below: {text:?}");
    assert!(frames.iter().all(|frame| frame.contains("\r\x1b[J\x1b[?7h")), "{text:?}");
    assert!(text.ends_with("\x1b[?7h\x1b[?25h"), "{text:?}");
    fake.joined();
}

#[test]
fn a_dumb_terminal_is_told_each_change_in_a_line() {
    let (fake, hears) = watched(vec![overview()]);
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let mut zimg = fake.zimg(&["status", "--watch=0.1"]);
    let mut child = zimg.env("TERM", "dumb").stdout(slave).spawn().unwrap();
    drop(zimg);
    hears.recv().unwrap();
    hears.recv().unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let text = written_to(master);
    assert_eq!((text.lines().count(), text.contains('\x1b')), (1, false), "{text:?}");
    fake.joined();
}

#[test]
fn a_small_terminal_is_not_scrolled() {
    let (fake, hears) = watched(vec![overview()]);
    let mut zimg = AtTerminal::start(&fake, &["status", "-w=0.1"], 4);
    hears.recv().unwrap();
    hears.recv().unwrap();
    zimg.press(b'q');
    let (_, text) = zimg.end();
    let frame = text.split("\x1b[?25l\x1b[?7l").nth(1).unwrap();
    assert_eq!(frame.matches("\x1b[K\r\n").count(), 3, "{text:?}");
    assert!(text.contains("\x1b[3A"), "{text:?}");
    fake.joined();
}

#[test]
fn ctrl_c_ends_the_watching_and_leaves_the_terminal_as_it_was() {
    for by_key in [true, false] {
        let (fake, hears) = watched(vec![overview()]);
        let mut zimg = AtTerminal::start(&fake, &["status", "--watch"], 40);
        hears.recv().unwrap();
        if by_key {
            zimg.press(3);
        } else {
            let pid = Pid::from_raw(zimg.child.id().cast_signed());
            kill(pid, Signal::SIGINT).unwrap();
        }
        let (status, text) = zimg.end();
        assert_eq!(status.code(), Some(130), "{text:?}");
        assert!(!text.contains("zimg:"), "{text:?}");
        fake.joined();
    }
}

/// zimg without a terminal: its lines, as they come.
fn lines(fake: &Fake, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = fake.zimg(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

#[test]
fn elsewhere_each_change_is_a_line() {
    let busy = |step| in_state(WorkerState::Busy { job: 3, step, of: 8 });
    let states = vec![overview(), overview(), busy(1), busy(1), overview(), overview(), busy(2)];
    let (fake, hears) = watched(states);
    let (mut child, mut lines) = lines(&fake, &["status", "--watch=0.1"]);
    let mut said = String::new();
    for _ in 0..4 {
        lines.read_line(&mut said).unwrap();
    }
    hears.recv().unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    let said: Vec<_> = said.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let ends: Vec<_> = said.iter().map(|(_, text)| text.split(';').next().unwrap()).collect();
    let expected = ["ready", "running job 3, step 1 of 8", "ready", "running job 3, step 2 of 8"];
    assert_eq!(ends, expected);
    assert!(said.iter().all(|(clock, _)| clock.len() == 8 && clock.matches(':').count() == 2));
    fake.joined();
}

/// The lines of JSON of a daemon that goes.
pub(crate) fn lost() -> String {
    let fake = Fake::raw(|mut peer| {
        peer.welcome();
        answer(&mut peer);
    });
    let (mut child, mut lines) = lines(&fake, &["status", "--watch=0.1", "--json"]);
    let mut said = String::new();
    lines.read_line(&mut said).unwrap();
    let socket = fake.out().parent().unwrap().join("socket");
    std::fs::remove_file(socket).unwrap();
    lines.read_line(&mut said).unwrap();
    // A closed reader is no failure.
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    fake.joined();
    said
}

/// One look of a client's.
fn answer(peer: &mut Peer) {
    assert_eq!(peer.request(), Some(Request::Overview));
    peer.say(Event::Overview(Box::new(overview())));
    assert_eq!(peer.request(), Some(Request::Setup));
    peer.say(Event::Setup(Box::new(setup())));
    assert_eq!(peer.request(), Some(Request::MemoryPlans));
    peer.say(Event::MemoryPlans(Vec::new()));
}

#[test]
fn a_daemon_that_has_gone_is_said() {
    let said = lost();
    let last = said.lines().last().unwrap();
    let beginning = "{\"v\":1,\"event\":\"lost\",\"kind\":\"unavailable\",\"code\":69,";
    assert!(last.starts_with(beginning), "{said}");
}

#[test]
fn without_a_daemon_there_is_nothing_to_watch() {
    let directory = tempfile::tempdir().unwrap();
    let output = crate::fake::zimg(directory.path())
        .env("ZIMG_SOCKET", directory.path().join("no-daemon"))
        .args(["status", "--watch"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    for wrong in ["0", "31", "soon"] {
        let watch = format!("--watch={wrong}");
        let output = crate::fake::zimg(directory.path()).args(["status", &watch]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{wrong}");
    }
}
