//! Two workers: each has a job of its own, and one's death, pause or sleep leaves the other alone.

#![expect(clippy::panic, reason = "a helper fails its test by panicking")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_client::{Generate, Params, Priority, Update, WorkerState};
use zimg_tests::{Daemon, Options, finish, mock, wait_until};

fn params(seed: u64) -> Params {
    let side = Some(64);
    Params { width: side, height: side, steps: Some(4), seed: Some(seed), ..Params::new("a fox") }
}

/// A daemon with two mock workers, both of which run this script.
fn two(script: &str) -> Daemon {
    let environment = vec![("ZIMAGED_DEVICE".into(), "cpu,cpu".into())];
    let mut daemon =
        Daemon::with(Options { mock: script.into(), environment, ..Options::default() });
    daemon.wait_for("READY=1");
    let ready = || daemon.status().workers.iter().all(|w| w.state == WorkerState::Ready);
    wait_until("both workers are ready", ready);
    daemon
}

/// The job of each worker.
fn running(daemon: &Daemon) -> Vec<Option<u64>> {
    let job = |state: &WorkerState| match state {
        WorkerState::Busy { job, .. } => Some(*job),
        _ => None,
    };
    daemon.status().workers.iter().map(|worker| job(&worker.state)).collect()
}

fn is_of(images: &[zimg_client::Image], seed: u64) {
    let [image] = images else { panic!("{} images", images.len()) };
    assert_eq!(image.pixels[..3], mock::colour(seed));
}

#[test]
fn two_jobs_run_at_once_and_the_third_waits_for_both() {
    let daemon = two("hold@step:2");
    assert_eq!(daemon.status().workers.iter().map(|w| w.worker.0).collect::<Vec<_>>(), [0, 1]);
    let jobs: Vec<_> = (1..=3).map(|seed| daemon.submit(&params(seed))).collect();
    wait_until("both workers run", || running(&daemon) == [Some(1), Some(2)]);
    assert_eq!(daemon.status().queued, 1);
    assert_eq!(jobs.last().map(|(_, position)| *position), Some(2));
    daemon.open_gate();
    for ((job, _), seed) in jobs.into_iter().zip(1..) {
        is_of(&finish(job).unwrap_or_else(|failure| panic!("{failure}")), seed);
    }
}

#[test]
fn a_dead_workers_job_goes_on_and_the_other_worker_is_left_alone() {
    let daemon = two("hold@step:2");
    let jobs: Vec<_> = (1..=2).map(|seed| daemon.submit(&params(seed)).0).collect();
    wait_until("both workers run", || running(&daemon) == [Some(1), Some(2)]);
    let [dead, other] = [0, 1].map(|n| daemon.status().workers[n].pid);
    let dead = dead.and_then(|pid| i32::try_from(pid).ok());
    kill(Pid::from_raw(dead.unwrap_or_else(|| panic!("no process"))), Signal::SIGKILL)
        .unwrap_or_else(|error| panic!("{error}"));
    wait_until("it is started again", || daemon.status().workers[0].restarts == 1);
    assert_eq!(running(&daemon).get(1), Some(&Some(2)), "the other one holds its job");
    daemon.open_gate();
    for (job, seed) in jobs.into_iter().zip(1..) {
        is_of(&finish(job).unwrap_or_else(|failure| panic!("{failure}")), seed);
    }
    let status = daemon.status();
    assert_eq!((status.workers[1].restarts, status.workers[1].pid), (0, other));
}

#[test]
fn an_interactive_job_preempts_one_of_two_batch_jobs() {
    let daemon = two("hold@step:2");
    let batch: Vec<_> = (1..=2)
        .map(|seed| {
            let params = params(seed);
            let batch = Generate { params, priority: Priority::Batch, ..Generate::default() };
            let mut job = daemon.client().generate(&batch).unwrap_or_else(|e| panic!("{e}"));
            assert!(matches!(job.next(), Some(Ok(Update::Accepted { .. }))));
            job
        })
        .collect();
    wait_until("both workers run", || running(&daemon) == [Some(1), Some(2)]);
    let (interactive, _) = daemon.submit(&params(3));
    wait_until("one of them is preempted", || running(&daemon) == [Some(3), Some(2)]);
    daemon.open_gate();
    is_of(&finish(interactive).unwrap_or_else(|failure| panic!("{failure}")), 3);
    for (job, seed) in batch.into_iter().zip(1..) {
        is_of(&finish(job).unwrap_or_else(|failure| panic!("{failure}")), seed);
    }
}

#[test]
fn both_sleep_and_wake() {
    let daemon = two("");
    let pids: Vec<_> = daemon.status().workers.iter().map(|worker| worker.pid).collect();
    daemon.client().sleep().unwrap_or_else(|failure| panic!("{failure}"));
    let asleep = daemon.status().workers;
    assert!(asleep.iter().all(|w| w.state == WorkerState::Asleep && w.pid.is_none()));
    is_of(&daemon.draw(&params(4)).unwrap_or_else(|failure| panic!("{failure}")), 4);
    let awake = || daemon.status().workers.iter().all(|w| w.state == WorkerState::Ready);
    wait_until("both are back", awake);
    assert!(daemon.status().workers.iter().zip(&pids).all(|(w, before)| w.pid != *before));
}
