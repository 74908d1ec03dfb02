//! The worker dies, lies or cannot start: jobs get their answer, the daemon lives on.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use zimg_client::{Draw, Failure, Kind, Update, Waiting, WorkerState};
use zimg_tests::{Daemon, Options};

fn draw() -> Draw {
    Draw { width: Some(64), height: Some(64), ..Draw::new("a fox") }
}

/// What becomes of a job whose worker does this while it draws; the next job must succeed.
fn failure_of(behaviour: &str) -> Failure {
    let daemon = Daemon::ready(&format!("{behaviour};"));
    let failure = daemon.draw(&draw()).unwrap_err();
    assert_eq!(daemon.draw(&draw()).unwrap().len(), 1, "{behaviour}");
    let status = daemon.status();
    assert_eq!((status.restarts, status.done, status.failed), (1, 1, 1), "{behaviour}");
    assert_eq!(status.last_error.as_ref(), Some(&failure.message));
    failure
}

#[test]
fn a_crash_fails_its_job_with_the_last_words_and_not_the_next() {
    let failure = failure_of("crash@step:4");
    assert_eq!(failure.kind, Kind::Internal);
    assert_eq!(failure.message, "the worker was ended by SIGABRT: an illegal address");
    assert!(failure.hint.unwrap().starts_with("a new worker is started: try again"));
}

#[test]
fn a_worker_that_breaks_the_protocol_is_replaced() {
    for (behaviour, said) in [
        ("garbage@step:2", "message kind 0x77 is unknown"),
        ("half-frame@step:2", "bytes remaining on stream"),
        ("few-pixels", "done before all pictures were sent"),
    ] {
        let failure = failure_of(behaviour);
        assert_eq!(failure.kind, Kind::Internal);
        let message = failure.message;
        assert!(message.starts_with("the worker broke the protocol: "), "{message}");
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_job_that_was_done_before_the_crash_is_done_and_the_next_is_not_touched() {
    let daemon = Daemon::ready("done-then-die;");
    assert_eq!(daemon.draw(&draw()).unwrap().len(), 1);
    assert_eq!(daemon.draw(&draw()).unwrap().len(), 1);
    let status = daemon.status();
    assert_eq!((status.done, status.failed, status.restarts), (2, 0, 1));
}

#[test]
fn who_waits_while_the_worker_restarts_sees_why() {
    let daemon = Daemon::start("crash@load;");
    let (job, _) = daemon.submit(&draw());
    let mut reasons = Vec::new();
    for update in job {
        if let Update::Waiting(Waiting::Worker(WorkerState::Restarting { reason, .. })) =
            update.unwrap()
        {
            reasons.push(reason);
        }
    }
    assert_eq!(reasons, ["the worker was ended by SIGABRT: the weights bit me"]);
}

#[test]
fn a_wrong_configuration_is_said_to_everybody_and_not_tried_again() {
    for (behaviour, said) in [
        ("exit:78", "there are no weights in this folder"),
        ("fatal:78", "the transformer's shard 2 is missing"),
    ] {
        let mut daemon = Daemon::start(behaviour);
        // It has started as far as it ever will, and says so.
        daemon.wait_for(&format!("STATUS=cannot draw: {said}"));
        daemon.wait_for("READY=1");
        let failure = daemon.draw(&draw()).unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (Kind::Config, said));
        let status = daemon.status();
        assert!(matches!(status.worker, WorkerState::Failed(failure) if failure.message == said));
        assert_eq!((status.restarts, status.worker_pid), (0, None));
        let output = daemon.zimg(&["a fox", "-o", "fox.png"]).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
    }
}

#[test]
fn jobs_that_waited_for_a_worker_that_cannot_be_are_refused() {
    let daemon = Daemon::start("hang@load,exit:78");
    let (job, _) = daemon.submit(&draw());
    daemon.open_gate();
    assert_eq!(zimg_tests::finish(job).unwrap_err().kind, Kind::Config);
}

#[test]
fn a_missing_worker_is_a_wrong_configuration() {
    let mut daemon =
        Daemon::with(Options { worker: Some("/nowhere/worker".into()), ..Options::default() });
    daemon.wait_for("READY=1");
    let failure = daemon.draw(&draw()).unwrap_err();
    assert_eq!(failure.kind, Kind::Config);
    assert_eq!(failure.message, "there is no worker at /nowhere/worker");
}
