//! Sleep: the GPU is freed on request or after an idle time, and the next prompt brings the model back.

use nix::sys::signal::{Signal, kill};
use zimg_client::{Kind, Params, WorkerState};
use zimg_protocol::messages::{Event, Request};
use zimg_tests::{Daemon, Options, Raw, finish, lives, wait_until};

fn draw() -> Params {
    Params { width: Some(64), height: Some(64), ..Params::new("a fox") }
}

/// A client that has asked for sleep, as the daemon knows; the answer is still to come.
fn sleeper(daemon: &Daemon) -> Raw {
    let mut raw = Raw::greeted(daemon.socket());
    raw.ask(Request::Sleep);
    raw.ask(Request::Status);
    assert!(matches!(raw.event(), Event::Status(_)));
    raw
}

/// Whether the answer is that the model is needed.
fn is_refused(mut sleeper: Raw) -> bool {
    matches!(sleeper.event(), Event::Failed(failure)
        if failure.kind == Kind::Busy && failure.message == "the model is needed again meanwhile")
}

#[test]
fn an_idle_worker_goes_at_once_and_comes_back_with_the_next_prompt() {
    let daemon = Daemon::ready("");
    let worker = daemon.worker();
    daemon.client().sleep().unwrap();
    assert!(!lives(worker), "the memory is free when the answer comes");
    let status = daemon.status();
    let worker = &status.workers[0];
    assert_eq!((&worker.state, worker.pid), (&WorkerState::Asleep, None));
    daemon.client().sleep().unwrap();
    assert_eq!(daemon.draw(&draw()).unwrap().len(), 1);
    assert_eq!(daemon.status().workers[0].restarts, 0, "nothing went wrong");
    assert_eq!(daemon.status().workers[0].last_error, None);
}

#[test]
fn the_running_job_ends_first() {
    let mut daemon = Daemon::ready("hold@step:3");
    let (job, _) = daemon.submit(&draw());
    daemon.held();
    let mut sleeper = sleeper(&daemon);
    daemon.open_gate();
    finish(job).unwrap();
    assert_eq!(sleeper.event(), Event::Acknowledged);
    daemon.wait_for("STATUS=asleep");
    assert_eq!(daemon.status().workers[0].state, WorkerState::Asleep);
    daemon.client().wake().unwrap();
    wait_until("the worker is ready", || daemon.status().workers[0].state == WorkerState::Ready);
}

#[test]
fn a_worker_with_waiting_jobs_does_not_sleep() {
    let daemon = Daemon::ready("hold@step:3");
    let jobs = [0; 2].map(|_| daemon.submit(&draw()).0);
    daemon.held();
    let failure = daemon.client().sleep().unwrap_err();
    assert_eq!((failure.kind, &*failure.message), (Kind::Busy, "1 job waits for a worker"));
    daemon.open_gate();
    for job in jobs {
        finish(job).unwrap();
    }
}

#[test]
fn a_prompt_that_comes_meanwhile_is_generated() {
    let daemon = Daemon::ready("hold@step:3");
    let (first, _) = daemon.submit(&draw());
    daemon.held();
    let sleeper = sleeper(&daemon);
    let (second, _) = daemon.submit(&draw());
    assert!(is_refused(sleeper));
    daemon.open_gate();
    finish(first).unwrap();
    finish(second).unwrap();
    assert_eq!(daemon.status().workers[0].state, WorkerState::Ready);
}

#[test]
fn a_job_whose_worker_dies_meanwhile_goes_on() {
    let daemon = Daemon::ready("hold@latents:3");
    let (job, _) = daemon.submit(&draw());
    daemon.held();
    let sleeper = sleeper(&daemon);
    kill(daemon.worker(), Signal::SIGKILL).unwrap();
    daemon.held();
    assert!(is_refused(sleeper));
    daemon.open_gate();
    finish(job).unwrap();
}

#[test]
fn a_loading_worker_can_be_put_to_sleep_and_is_killed_if_it_stays() {
    for mock in ["hold@load", "hold@warm,deaf"] {
        let daemon = Daemon::with(Options {
            mock: mock.into(),
            environment: vec![("ZIMAGED_TIMEOUTS".into(), "exit=100ms".into())],
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
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(0));
}
