//! Kill matrix: whatever is killed whenever, every accepted job has exactly one answer, and no process is left.
//!
//! In each cell the mock worker holds at a phase while one job is (about to be) generated and another
//! waits; then a process is killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::fs;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_client::{Failure, Image, Job, Kind, Params, WorkerState};
use zimg_tests::{Daemon, Options, finish, lives, mock, wait_until};

/// Where the worker may be: not ready yet, ready, in a job, and after it.
const PHASES: [&str; 13] = [
    "spawn",
    "load",
    "warm",
    "idle",
    "begin",
    "latents:1",
    "step:1",
    "step:2",
    "step:3",
    "decode",
    "send",
    "sent",
    "done",
];
/// A worker that says nothing for so long hangs.
const TIMEOUTS: &str = "spawn=1s,load=1s,warmup=1s,step=1s,first_step=1s";
const SEED: u64 = 0x0a_0b0c;

fn draw(seed: u64) -> Params {
    let (width, height) = (Some(64), Some(64));
    Params { width, height, steps: Some(3), seed: Some(seed), ..Params::new("a fox") }
}

/// A daemon whose first worker holds at this phase, and two jobs, the first of which it gets.
struct Cell {
    phase: &'static str,
    daemon: Daemon,
    jobs: [Job; 2],
}

impl Cell {
    fn new(phase: &'static str) -> Self {
        let daemon = daemon(phase);
        let jobs = [0, 1].map(|n| daemon.submit(&draw(SEED + n)).0);
        assert_eq!(daemon.held(), phase);
        let cell = Self { phase, daemon, jobs };
        // What the worker has said by now is known to the supervisor, too.
        wait_until("the supervisor is at the phase", || {
            let status = cell.daemon.status();
            let generating = matches!(status.workers[0].state, WorkerState::Busy { .. });
            generating == cell.is_running() && status.done == u64::from(cell.is_answered())
        });
        cell
    }

    /// The first job is the worker's, which goes on with it if it may.
    fn is_running(&self) -> bool {
        !["spawn", "load", "warm"].contains(&self.phase)
    }

    /// The first job was answered before the phase was reached.
    fn is_answered(&self) -> bool {
        self.phase == "done"
    }
}

fn daemon(phase: &str) -> Daemon {
    Daemon::with(Options {
        mock: format!("hold@{phase};"),
        environment: vec![("ZIMAGED_TIMEOUTS".into(), TIMEOUTS.into())],
        ..Options::default()
    })
}

/// A job's one answer: its image, which must be the right one, or why not.
fn answer(job: Job, seed: u64) -> Result<(), Failure> {
    finish(job).map(|images| is_right(&images, seed))
}

fn is_right(images: &[Image], seed: u64) {
    let [image] = images else { panic!("{} images", images.len()) };
    assert!(image.pixels == mock::colour(seed).repeat(64 * 64), "another image");
}

/// The worker is killed, and both images come nevertheless.
fn kill_the_worker(signal: Signal) {
    for phase in PHASES {
        let Cell { daemon, jobs, .. } = Cell::new(phase);
        kill(daemon.worker(), signal).unwrap();
        for (job, seed) in jobs.into_iter().zip(SEED..) {
            assert_eq!(answer(job, seed), Ok(()), "{phase}");
        }
        let status = daemon.status();
        assert_eq!((status.done, status.failed), (2, 0), "{phase}");
        let counters = daemon.client().overview().unwrap().counters;
        assert_eq!(counters.images, 2, "{phase}: none was generated twice");
        daemon.end();
    }
}

#[test]
fn worker_kill() {
    kill_the_worker(Signal::SIGKILL);
}

#[test]
fn worker_segv() {
    kill_the_worker(Signal::SIGSEGV);
}

#[test]
fn worker_stop() {
    kill_the_worker(Signal::SIGSTOP);
}

#[test]
fn supervisor_kill() {
    for phase in PHASES {
        let cell = Cell::new(phase);
        let answered = cell.is_answered();
        let Cell { mut daemon, jobs: [first, second], .. } = cell;
        let mut unanswered = vec![second];
        if answered {
            assert_eq!(answer(first, SEED), Ok(()));
        } else {
            unanswered.push(first);
        }
        daemon.signal(Signal::SIGKILL);
        // Clients are told.
        for job in unanswered {
            let failure = finish(job).unwrap_err();
            assert_eq!(failure.kind, Kind::Internal, "{phase}");
            assert!(failure.message.starts_with("the daemon ended"), "{failure}");
        }
        daemon.wait();
        daemon.is_gone();
    }
}

fn is_refusal(answer: &Result<(), Failure>) -> bool {
    matches!(answer, Err(failure)
        if failure.kind == Kind::Busy && failure.message == "zimaged is shutting down")
}

#[test]
fn supervisor_term() {
    for phase in PHASES {
        let cell = Cell::new(phase);
        let (running, answered) = (cell.is_running(), cell.is_answered());
        let Cell { mut daemon, jobs: [first, second], .. } = cell;
        daemon.signal(Signal::SIGTERM);
        daemon.wait_for("STOPPING=1");
        daemon.open_gate();
        let answers = [answer(first, SEED), answer(second, SEED + 1)];
        // The job that is generated is generated to its end, the other one may try again.
        assert_eq!(answers[0].is_ok(), running, "{phase}: {answers:?}");
        assert!(running || is_refusal(&answers[0]), "{phase}: {answers:?}");
        assert_eq!(answers[1].is_ok(), answered, "{phase}: {answers:?}");
        assert!(answered || is_refusal(&answers[1]), "{phase}: {answers:?}");
        assert_eq!(daemon.wait().code(), Some(0), "{phase}");
        daemon.is_gone();
    }
}

#[test]
fn supervisor_term_twice() {
    for phase in PHASES {
        let cell = Cell::new(phase);
        let answered = cell.is_answered();
        let Cell { mut daemon, jobs: [first, second], .. } = cell;
        daemon.signal(Signal::SIGTERM);
        daemon.wait_for("STOPPING=1");
        daemon.signal(Signal::SIGTERM);
        // The gate stays closed: nothing is waited for.
        let answers = [answer(first, SEED), answer(second, SEED + 1)];
        assert_eq!(answers[0].is_ok(), answered, "{phase}: {answers:?}");
        assert!(answered || is_refusal(&answers[0]), "{phase}: {answers:?}");
        assert!(is_refusal(&answers[1]), "{phase}: {answers:?}");
        assert_eq!(daemon.wait().code(), Some(0), "{phase}");
        daemon.is_gone();
    }
}

/// The first job is a `zimg` process's, to which this is done; the second one is generated.
fn with_zimg(then: impl Fn(&Daemon, &'static str, Child)) {
    for phase in PHASES {
        let daemon = daemon(phase);
        let seed = SEED.to_string();
        let arguments = ["a fox", "-s", "64x64", "--steps", "3", "--seed", &seed, "-o", "fox.png"];
        let mut zimg = daemon.zimg(&arguments);
        let zimg = zimg.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It may have been answered by now.
        let has_come = |n| {
            move |daemon: &Daemon| {
                let overview = daemon.client().overview().unwrap();
                u64::from(overview.unfinished) + overview.status.done == n
            }
        };
        wait_until("the job has come", || has_come(1)(&daemon));
        let (second, _) = daemon.submit(&draw(SEED + 1));
        assert_eq!(daemon.held(), phase);
        then(&daemon, phase, zimg);
        assert_eq!(answer(second, SEED + 1), Ok(()), "{phase}");
        daemon.end();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[test]
fn client_kill() {
    with_zimg(|daemon, phase, mut zimg| {
        zimg.kill().unwrap();
        zimg.wait().unwrap();
        daemon.open_gate();
        wait_until("its job has ended", || {
            let status = daemon.status();
            (status.done, status.failed) != (0, 0)
        });
        // A job with all of its pixels may be saved.
        let may_be = ["sent", "done"].contains(&phase);
        assert!(may_be || !daemon.folder().join("fox.png").exists(), "{phase}");
    });
}

#[test]
fn client_stop() {
    with_zimg(|daemon, phase, mut zimg| {
        kill(pid(&zimg), Signal::SIGSTOP).unwrap();
        daemon.open_gate();
        wait_until("its job has ended", || daemon.status().done >= 1);
        kill(pid(&zimg), Signal::SIGCONT).unwrap();
        assert!(zimg.wait().unwrap().success(), "{phase}");
        let image = image::open(daemon.folder().join("fox.png")).unwrap().to_rgb8();
        assert!(image.pixels().all(|pixel| pixel.0 == mock::colour(SEED)), "{phase}");
    });
}

/// Whether a process is stopped, or waits for something.
fn is_in_state(pid: Pid, state: char) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(state))
}

/// A client that is suspended and continued again and again, before it is answered.
#[test]
fn client_stop_before_it_is_answered() {
    let daemon = Daemon::ready("");
    daemon.signal(Signal::SIGSTOP);
    let mut zimg = daemon.zimg(&["status"]);
    let mut zimg = zimg.stdout(Stdio::null()).spawn().unwrap();
    let socket = || {
        let open = fs::read_dir(format!("/proc/{}/fd", zimg.id())).unwrap();
        let mut targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.any(|target| target.to_string_lossy().starts_with("socket:"))
    };
    wait_until("it has a socket", socket);
    for _ in 0..20 {
        wait_until("it waits", || is_in_state(pid(&zimg), 'S'));
        kill(pid(&zimg), Signal::SIGSTOP).unwrap();
        wait_until("it is suspended", || is_in_state(pid(&zimg), 'T'));
        kill(pid(&zimg), Signal::SIGCONT).unwrap();
    }
    daemon.signal(Signal::SIGCONT);
    assert!(zimg.wait().unwrap().success());
    daemon.end();
}

/// More than any socket holds: the daemon keeps it for a client that is suspended in the middle of it.
#[test]
fn client_stop_in_the_middle_of_a_large_image() {
    let daemon = daemon("send");
    let arguments = ["a fox", "-s", "2048x2048", "--steps", "3", "-o", "fox.png"];
    let mut zimg = daemon.zimg(&arguments);
    zimg.args(["--seed", &SEED.to_string()]);
    let mut zimg = zimg.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(daemon.held(), "send");
    kill(pid(&zimg), Signal::SIGSTOP).unwrap();
    daemon.open_gate();
    // Others go on.
    for seed in SEED + 1..SEED + 4 {
        is_right(&daemon.draw(&draw(seed)).unwrap(), seed);
    }
    assert!(zimg.try_wait().unwrap().is_none() && !daemon.folder().join("fox.png").exists());
    kill(pid(&zimg), Signal::SIGCONT).unwrap();
    assert!(zimg.wait().unwrap().success());
    let image = image::open(daemon.folder().join("fox.png")).unwrap().to_rgb8();
    assert_eq!(image.dimensions(), (2048, 2048));
    assert!(image.pixels().all(|pixel| pixel.0 == mock::colour(SEED)));
    daemon.end();
}

/// A worker ends with its supervisor even if one of the ways to notice does not work: it does not
/// look at its socket, it asked for no signal, or it is stopped.
#[test]
fn each_way_to_notice_the_supervisors_death_suffices() {
    for (script, stopped) in [("deaf", false), ("orphan", false), ("", true)] {
        let mut daemon = Daemon::ready(script);
        let worker = daemon.worker();
        if stopped {
            kill(worker, Signal::SIGSTOP).unwrap();
        }
        assert!(lives(worker));
        daemon.signal(Signal::SIGKILL);
        daemon.wait();
        daemon.is_gone();
    }
}
