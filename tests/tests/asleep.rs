//! The GPU is freed, when somebody asks for it or nobody asks for a picture, and comes back.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::thread;

use zimg_client::{Draw, Failure, Kind, WorkerState};
use zimg_tests::{Daemon, Options, finish, lives, wait_until};

fn draw() -> Draw {
    Draw { width: Some(64), height: Some(64), ..Draw::new("a fox") }
}

/// Asks for sleep, from a thread of its own since the answer may take its time; the daemon knows
/// of it when this returns.
fn sleep(daemon: &Daemon) -> thread::JoinHandle<Result<(), Failure>> {
    let mut client = daemon.client();
    let before = daemon.client().overview().unwrap().connections;
    assert!(before >= 2, "the sleeper's own and this one");
    thread::spawn(move || client.sleep())
}

#[test]
fn an_idle_worker_goes_at_once_and_comes_back_with_the_next_prompt() {
    let daemon = Daemon::ready("");
    let worker = daemon.worker();
    daemon.client().sleep().unwrap();
    assert!(!lives(worker), "the memory is free when the answer comes");
    let status = daemon.status();
    assert_eq!((status.worker, status.worker_pid), (WorkerState::Asleep, None));
    daemon.client().sleep().unwrap();
    assert_eq!(daemon.draw(&draw()).unwrap().len(), 1);
    assert_eq!(daemon.status().restarts, 0, "nothing went wrong");
    assert_eq!(daemon.status().last_error, None);
}

#[test]
fn the_running_job_ends_first() {
    let mut daemon = Daemon::ready("hold@step:3");
    let (job, _) = daemon.submit(&draw());
    daemon.held();
    let sleeper = sleep(&daemon);
    daemon.open_gate();
    finish(job).unwrap();
    sleeper.join().unwrap().unwrap();
    daemon.wait_for("STATUS=asleep");
    assert_eq!(daemon.status().worker, WorkerState::Asleep);
    daemon.client().wake().unwrap();
    wait_until("the worker is ready", || daemon.status().worker == WorkerState::Ready);
}

#[test]
fn who_has_jobs_waiting_does_not_sleep() {
    let daemon = Daemon::ready("hold@step:3");
    let jobs = [0; 2].map(|_| daemon.submit(&draw()).0);
    daemon.held();
    let failure = daemon.client().sleep().unwrap_err();
    assert_eq!((failure.kind, &*failure.message), (Kind::Busy, "1 job waits to be drawn"));
    daemon.open_gate();
    for job in jobs {
        finish(job).unwrap();
    }
}

#[test]
fn a_prompt_that_comes_meanwhile_is_drawn() {
    let daemon = Daemon::ready("hold@step:3");
    let (first, _) = daemon.submit(&draw());
    daemon.held();
    let sleeper = sleep(&daemon);
    // Whichever of the two comes first, the prompt is drawn.
    let (second, _) = daemon.submit(&draw());
    let failure = sleeper.join().unwrap().unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    daemon.open_gate();
    finish(first).unwrap();
    finish(second).unwrap();
    assert_eq!(daemon.status().worker, WorkerState::Ready);
}

#[test]
fn who_loads_can_be_sent_to_sleep_and_who_does_not_go_is_made_to() {
    for mock in ["hold@load", "hold@warm,deaf"] {
        let daemon = Daemon::with(Options {
            mock: mock.into(),
            environment: vec![("ZIMAGED_PATIENCE".into(), "leave=100ms".into())],
            ..Options::default()
        });
        daemon.held();
        let worker = daemon.worker();
        daemon.client().sleep().unwrap();
        assert!(!lives(worker), "{mock}");
        daemon.open_gate();
        daemon.draw(&draw()).unwrap();
    }
}

#[test]
fn a_daemon_of_which_nothing_is_asked_frees_the_gpu_by_itself() {
    let mut daemon = Daemon::with(Options {
        environment: vec![("ZIMAGED_IDLE_UNLOAD".into(), "1s".into())],
        ..Options::default()
    });
    daemon.wait_for("STATUS=asleep");
    daemon.draw(&draw()).unwrap();
    assert_eq!(daemon.workers().len(), 2);
}

#[test]
fn a_sleeping_daemon_ends_as_any() {
    let mut daemon = Daemon::ready("");
    daemon.client().sleep().unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(0));
}
