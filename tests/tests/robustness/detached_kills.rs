//! Detached jobs while daemon and worker are killed at seeded moments: every accepted job ends, its
//! images are those of an undisturbed worker, and deleted jobs do not come back.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_client::{Generate, Params, Priority, Update};
use zimg_tests::{Daemon, Ledger, Options, Seeded, built_worker, finish};

/// Daemons that come to an end.
const ENDS: u32 = 80;

fn process(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap())
}

fn start(state: &Path, mock: &str) -> Daemon {
    Daemon::with(Options {
        mock: mock.into(),
        state: Some(state.to_owned()),
        environment: vec![("ZIMAGED_JOBS_PER_USER".into(), "64".into())],
        ..Options::default()
    })
}

#[test]
fn every_accepted_job_ends_whatever_is_killed_when() {
    let state = tempfile::tempdir().unwrap();
    let mut seeded = Seeded(8);
    let mut told = Ledger::default();
    for _ in 0..ENDS {
        let daemon = start(state.path(), "slow:1");
        let (pid, after) = (process(daemon.pid()), Duration::from_millis(seeded.below(200)));
        let signal = match seeded.below(4) {
            0 => Signal::SIGTERM,
            _ => Signal::SIGKILL,
        };
        let worker = (seeded.below(3) == 0).then(|| daemon.status().workers[0].pid).flatten();
        let killer = thread::spawn(move || {
            // At any moment: what is being done then is what the test is about.
            thread::sleep(after / 2);
            if let Some(worker) = worker {
                let _ = kill(process(worker), Signal::SIGKILL);
            }
            thread::sleep(after / 2);
            kill(pid, signal).unwrap();
        });
        let ended = told.go_on(&daemon, &mut seeded, || true).unwrap_err();
        killer.join().unwrap();
        let mut daemon = daemon;
        let status = daemon.wait();
        assert!(status.success() == (signal == Signal::SIGTERM), "{ended}: {status}");
    }
    let daemon = start(state.path(), "");
    told.fetch_all(&daemon).unwrap();
    assert!(daemon.client().jobs().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(state.path().join("pictures")).unwrap().count(), 0);
    let (accepted, unanswered) = told.counts();
    let answered = unanswered <= ENDS.into();
    assert!(accepted > 20 && answered, "{accepted} accepted, {unanswered} not answered");
    println!("{accepted} jobs over {ENDS} ends of daemons");
}

#[test]
fn the_built_in_model_generates_the_same_over_the_daemons_death() {
    let state = tempfile::tempdir().unwrap();
    let start = || {
        Daemon::with(Options {
            worker: Some(built_worker()),
            state: Some(state.path().to_owned()),
            ..Options::default()
        })
    };
    let draw =
        Params { seed: Some(5), count: Some(3), ..Params::new("a red circle above a blue square") };
    let daemon = start();
    let undisturbed = daemon.draw(&draw).unwrap();
    let priority = Priority::default();
    let submit =
        Generate { params: draw, priority, detach: true, previews: false, ..Generate::default() };
    let update = daemon.client().generate(&submit).unwrap().next();
    let Some(Ok(Update::Accepted { job, .. })) = update else { panic!("{update:?}") };
    // In the first image, and in the second.
    let until_step = |daemon: &Daemon, image: u32| {
        let mut updates = daemon.client().wait(job).unwrap();
        let there = updates.find(|update| match update {
            Ok(Update::Step(step)) => (step.image, step.step) >= (image, 2),
            Ok(_) => false,
            Err(failure) => panic!("{failure}"),
        });
        assert!(there.is_some());
    };
    until_step(&daemon, 0);
    drop(daemon);
    let daemon = start();
    until_step(&daemon, 1);
    drop(daemon);
    let mut daemon = start();
    until_step(&daemon, 1);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    drop(daemon);
    let daemon = start();
    let images = finish(daemon.client().wait(job).unwrap()).unwrap();
    assert!(images == undisturbed, "another image, or another number of them");
    daemon.client().forget(job).unwrap();
    assert!(daemon.client().jobs().unwrap().is_empty());
}
