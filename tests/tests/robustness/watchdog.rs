//! Watchdog: what the service manager is told, and what a daemon does after it was suspended.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use zimg_client::{JobState, Params};
use zimg_tests::{Daemon, Options, finish, wait_until};

fn with(mock: &str, environment: &[(&str, &str)]) -> Daemon {
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let environment = environment.collect();
    Daemon::with(Options { mock: mock.into(), environment, ..Options::default() })
}

#[test]
fn the_watchdog_hears_twice_in_each_period_whatever_the_worker_does() {
    let mut daemon = with("hold@step:1", &[("WATCHDOG_USEC", "200000")]);
    daemon.wait_for("WATCHDOG=1");
    daemon.wait_for("READY=1");
    let (job, _) = daemon.submit(&Params::new("a fox"));
    daemon.held();
    for _ in 0..5 {
        daemon.wait_for_next("WATCHDOG=1");
    }
    daemon.open_gate();
    finish(job).unwrap();
}

#[test]
fn no_watchdog_is_answered_that_is_not_there_or_another_processs() {
    for environment in [&[][..], &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]] {
        let mut daemon = with("", environment);
        daemon.wait_for("READY=1");
        daemon.draw(&Params::new("a fox")).unwrap();
        daemon.wait_for_next("STATUS=ready");
        assert!(!daemon.has_heard("WATCHDOG=1"));
    }
}

#[test]
fn a_loading_worker_extends_the_start_timeout_and_a_ready_one_does_not() {
    let mut daemon = with("hold@load", &[]);
    daemon.wait_for("EXTEND_TIMEOUT_USEC=30000000");
    daemon.open_gate();
    daemon.wait_for("READY=1");
}

#[test]
fn a_daemon_that_was_stopped_itself_does_not_blame_the_worker() {
    let timeouts = [("ZIMAGED_TIMEOUTS", "step=3s,first_step=3s,suspended=100ms")];
    let daemon = with("hold@step:2", &timeouts);
    let (job, _) = daemon.submit(&Params::new("a fox"));
    daemon.held();
    // The daemon has read the step, and its deadline is that of the next.
    let mut client = daemon.client();
    wait_until("the daemon knows of the step", || {
        matches!(client.jobs().unwrap()[0].state, JobState::Running { step: 2, .. })
    });
    daemon.signal(Signal::SIGSTOP);
    // Time has to pass: more than a worker may say nothing.
    thread::sleep(Duration::from_millis(3500));
    // The worker says nothing at first, when the daemon runs again.
    daemon.signal(Signal::SIGCONT);
    daemon.status();
    daemon.open_gate();
    finish(job).unwrap();
    let log = daemon.log();
    assert!(log.contains("event=\"suspension_excused\""), "{log}");
    assert_eq!(daemon.status().workers[0].restarts, 0);
}
