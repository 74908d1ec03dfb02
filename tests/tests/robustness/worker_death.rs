//! Worker deaths: the worker exits, sends garbage or cannot start; every job has its answer, and the
//! daemon goes on.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use nix::sys::signal::{Signal, kill};
use zimg_client::{Failure, Kind, Params, Update, Waiting, WorkerState};
use zimg_tests::{Daemon, Options, finish, mock, wait_until};

const SEED: u64 = 0x01_0203;

fn draw() -> Params {
    Params { width: Some(64), height: Some(64), seed: Some(SEED), ..Params::new("a fox") }
}

/// The colours of a job's images, or why there are none.
fn colours(daemon: &Daemon, draw: &Params) -> Result<Vec<[u8; 3]>, Failure> {
    Ok(daemon.draw(draw)?.iter().map(|image| image.pixels[..3].try_into().unwrap()).collect())
}

/// What becomes of a job when two workers in a row do this while they draw it; the next job must
/// succeed.
fn failure_of(behaviours: [&str; 2]) -> Failure {
    let daemon = Daemon::ready(&format!("{};", behaviours.join(";")));
    let failure = colours(&daemon, &draw()).unwrap_err();
    assert_eq!(colours(&daemon, &draw()).unwrap().len(), 1, "{behaviours:?}");
    let status = daemon.status();
    assert_eq!(
        (status.workers[0].restarts, status.done, status.failed),
        (2, 1, 1),
        "{behaviours:?}"
    );
    assert!(failure.message.ends_with(&status.workers[0].last_error.clone().unwrap()));
    failure
}

#[test]
fn a_job_whose_worker_died_goes_on_in_the_next_to_the_same_image() {
    let two = Params { count: Some(2), ..draw() };
    // Where the worker dies, where the job goes on, and how many images were whole by then.
    for (behaviour, at) in [
        ("crash@begin", (0, 0)),
        ("segv@latents:1", (0, 0)),
        ("crash@step:1", (0, 1)),
        ("kill@latents:4", (0, 3)),
        ("exit@step:4", (0, 4)),
        ("half-frame@step:7", (0, 7)),
        ("garbage@step:2", (0, 2)),
        ("crash@decode", (0, 7)),
        ("segv@send", (0, 7)),
    ] {
        let daemon = Daemon::ready(&format!("{behaviour};"));
        let mut images = Vec::new();
        let mut resumed = Vec::new();
        for update in daemon.client().generate(&two).unwrap() {
            match update.unwrap() {
                Update::Image(image) => images.push(image.pixels),
                Update::Resumed { image, step } => resumed.push((image, step)),
                _ => {}
            }
        }
        let right =
            [mock::colour(SEED), mock::colour(SEED + 1)].map(|colour| colour.repeat(64 * 64));
        assert!(images == right, "{behaviour}");
        assert_eq!(resumed, [at], "{behaviour}");
        let counters = daemon.client().overview().unwrap().counters;
        assert_eq!((counters.resumed, counters.images), (1, 2), "{behaviour}");
    }
}

#[test]
fn an_image_that_came_whole_is_not_generated_again() {
    let daemon = Daemon::ready("crash@sent;");
    assert_eq!(colours(&daemon, &draw()).unwrap(), [mock::colour(SEED)]);
    let steps = daemon.client().overview().unwrap().counters.steps;
    assert_eq!(steps, 8, "the dead worker had generated all there was");
    // Of several the last one died of: the others go on after it.
    let daemon = Daemon::ready("segv@step:3;crash@step:4;");
    let twenty = Params { count: Some(20), ..draw() };
    assert_eq!(colours(&daemon, &twenty).unwrap_err().kind, Kind::Internal, "no image between");
}

#[test]
fn large_latents_survive_too() {
    let large = Params { width: Some(2048), height: Some(2048), steps: Some(3), ..draw() };
    let daemon = Daemon::ready("crash@step:2;");
    assert_eq!(colours(&daemon, &large).unwrap(), [mock::colour(SEED)]);
    assert!(daemon.peak_memory() < 96 << 20, "{}", daemon.peak_memory());
}

#[test]
fn a_job_that_kills_two_workers_in_a_row_fails_alone_with_their_last_words() {
    let failure = failure_of(["crash@step:2", "crash@step:3"]);
    assert_eq!(failure.kind, Kind::Internal);
    assert_eq!(
        failure.message,
        "2 workers in a row died running this job; the worker was ended by SIGABRT: an illegal address"
    );
    assert!(failure.hint.unwrap().starts_with("other jobs go on"));
}

#[test]
fn kills_from_outside_do_not_count_against_the_job_but_are_not_endless() {
    let daemon = Daemon::ready("hold@latents:3");
    let (mut job, _) = daemon.submit(&draw());
    for _ in 0..4 {
        assert_eq!(daemon.held(), "latents:3");
        kill(daemon.worker(), Signal::SIGKILL).unwrap();
    }
    daemon.held();
    assert!(job.any(|update| matches!(update, Ok(Update::Resumed { step: 2, .. }))));
    kill(daemon.worker(), Signal::SIGTERM).unwrap();
    let failure = finish(job).unwrap_err();
    assert_eq!(failure.kind, Kind::Internal);
    assert_eq!(
        failure.message,
        "5 workers were killed while they ran this job; the worker was ended by SIGTERM"
    );
}

#[test]
fn a_worker_killed_within_a_message_did_not_break_the_protocol() {
    let daemon = Daemon::ready("cut@step:2;cut@step:3;cut@step:4;");
    assert_eq!(colours(&daemon, &draw()).unwrap(), [mock::colour(SEED)]);
    let error = daemon.status().workers[0].last_error.clone().unwrap();
    assert_eq!(error, "the worker was ended by SIGKILL");
}

#[test]
fn a_worker_that_breaks_the_protocol_is_replaced() {
    for (behaviours, said) in [
        (["garbage@step:2", "garbage@step:3"], "broke the protocol: message kind 0x77 is unknown"),
        (["half-frame@step:2", "half-frame@step:3"], "ended in the middle of a message"),
        (["few-pixels"; 2], "broke the protocol: done before all images were sent"),
    ] {
        let failure = failure_of(behaviours);
        assert_eq!(failure.kind, Kind::Internal);
        let message = failure.message;
        assert!(message.contains("; the worker ") && message.contains(said), "{message}");
    }
}

#[test]
fn a_job_that_was_done_before_the_crash_is_done_and_the_next_is_not_touched() {
    let daemon = Daemon::ready("crash@done;");
    assert_eq!(colours(&daemon, &draw()).unwrap().len(), 1);
    assert_eq!(colours(&daemon, &draw()).unwrap().len(), 1);
    let status = daemon.status();
    assert_eq!((status.done, status.failed, status.workers[0].restarts), (2, 0, 1));
}

#[test]
fn a_worker_that_hangs_is_killed_and_its_job_goes_on() {
    for behaviour in ["stop@step:3", "stop@send", "stop@load", "stop@warm", "stop@spawn"] {
        let daemon = Daemon::with(Options {
            mock: format!("{behaviour};"),
            environment: vec![(
                "ZIMAGED_TIMEOUTS".into(),
                "spawn=1s,load=1s,warmup=1s,step=1s".into(),
            )],
            ..Options::default()
        });
        assert_eq!(colours(&daemon, &draw()).unwrap(), [mock::colour(SEED)]);
        let error = daemon.status().workers[0].last_error.clone().unwrap();
        assert!(error.starts_with("the worker hung while "), "{behaviour}: {error}");
        assert_eq!(daemon.status().workers[0].restarts, 1);
    }
}

#[test]
fn five_failed_starts_are_explained_until_the_worker_is_woken() {
    let mut daemon = Daemon::with(Options {
        mock: "crash@load;crash@load;crash@warm;exit@spawn;crash@load;".into(),
        environment: vec![("ZIMAGED_TIMEOUTS".into(), "backoff=1ms".into())],
        ..Options::default()
    });
    daemon.wait_for("STATUS=cannot generate: the worker did not get ready 5 times in a row");
    // As far as it ever will by itself.
    daemon.wait_for("READY=1");
    let failure = colours(&daemon, &draw()).unwrap_err();
    assert_eq!(failure.kind, Kind::Internal);
    assert!(failure.message.ends_with("SIGABRT: the weights bit me"), "{failure}");
    assert!(failure.hint.unwrap().contains("`zimg wake`"));
    daemon.client().wake().unwrap();
    assert_eq!(colours(&daemon, &draw()).unwrap(), [mock::colour(SEED)]);
}

#[test]
fn a_fault_that_passes_by_itself_needs_no_user() {
    let mut daemon = Daemon::with(Options {
        mock: "crash@load;crash@load;crash@load;crash@load;crash@load;crash@load;".into(),
        environment: vec![("ZIMAGED_TIMEOUTS".into(), "backoff=1ms,backoff_max=50ms".into())],
        ..Options::default()
    });
    daemon.wait_for("STATUS=cannot generate");
    wait_until("the worker is ready", || daemon.status().workers[0].state == WorkerState::Ready);
    assert_eq!(colours(&daemon, &draw()).unwrap(), [mock::colour(SEED)]);
}

#[test]
fn a_client_that_waits_during_a_restart_sees_why() {
    let daemon = Daemon::start("crash@load;crash@load;");
    let (job, _) = daemon.submit(&draw());
    let mut reasons = Vec::new();
    for update in job {
        if let Update::Waiting(Waiting::Worker(WorkerState::Restarting { reason, .. })) =
            update.unwrap()
        {
            reasons.push(reason);
        }
    }
    // The first start is at once, and need not be seen.
    let reason = "the worker was ended by SIGABRT: the weights bit me";
    assert!(reasons.ends_with(&[reason.to_owned()]), "{reasons:?}");
}

#[test]
fn a_wrong_configuration_is_reported_to_every_client_and_not_retried() {
    for (behaviour, said) in [
        ("exit:78", "there are no weights in this folder"),
        ("fatal:78", "the transformer's shard 2 is missing"),
    ] {
        let mut daemon = Daemon::start(behaviour);
        // It has started as far as it ever will, and says so.
        daemon.wait_for(&format!("STATUS=cannot generate: {said}"));
        daemon.wait_for("READY=1");
        let failure = colours(&daemon, &draw()).unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (Kind::Config, said));
        let status = daemon.status();
        assert!(
            matches!(&status.workers[0].state, WorkerState::Failed(failure) if failure.message == said)
        );
        assert_eq!((status.workers[0].restarts, status.workers[0].pid), (0, None));
        let output = daemon.zimg(&["a fox", "-o", "fox.png"]).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
    }
}

#[test]
fn jobs_that_waited_for_a_worker_that_cannot_be_are_refused() {
    let daemon = Daemon::start("hold@load,exit:78");
    let (job, _) = daemon.submit(&draw());
    daemon.open_gate();
    assert_eq!(finish(job).unwrap_err().kind, Kind::Config);
}

#[test]
fn a_missing_worker_is_a_wrong_configuration() {
    let mut daemon =
        Daemon::with(Options { worker: Some("/nowhere/worker".into()), ..Options::default() });
    daemon.wait_for("READY=1");
    let failure = colours(&daemon, &draw()).unwrap_err();
    assert_eq!(failure.kind, Kind::Config);
    assert_eq!(failure.message, "there is no worker at /nowhere/worker");
}
