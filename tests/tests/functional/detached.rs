//! Detached jobs through a whole daemon: accepted, generated, stored, fetched once, deleted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use zimg_client::{
    Failure, Generate, Image, JobId, JobInfo, JobState, Kind, Params, Priority, Update, Waiting,
};
use zimg_tests::{Daemon, Options, finish};

/// A test that waits longer than this for anything has failed.
const TIMEOUT: Duration = Duration::from_secs(60);

fn draw(seed: u64, count: u32) -> Params {
    Params {
        seed: Some(seed),
        count: Some(count),
        width: Some(64),
        height: Some(64),
        ..Params::new("a fox")
    }
}

/// A daemon that keeps its jobs here, however often it is started.
fn daemon_in(state: &Path, mock: &str, environment: &[(&str, &str)]) -> Daemon {
    Daemon::with(Options {
        mock: mock.into(),
        state: Some(state.to_owned()),
        environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        ..Options::default()
    })
}

/// The number of a job that the daemon has accepted, and will draw without anybody.
fn detach(daemon: &Daemon, draw: Params) -> Result<JobId, Failure> {
    let submit = Generate {
        params: draw,
        priority: Priority::default(),
        detach: true,
        previews: false,
        ..Generate::default()
    };
    match daemon.client().generate(&submit)?.next() {
        Some(Ok(Update::Accepted { job, .. })) => Ok(job),
        Some(Err(failure)) => Err(failure),
        other => panic!("not accepted but {other:?}"),
    }
}

fn wait(daemon: &Daemon, job: JobId) -> Result<Vec<Image>, Failure> {
    finish(daemon.client().wait(job)?)
}

fn jobs(daemon: &Daemon) -> Vec<JobInfo> {
    daemon.client().jobs().unwrap()
}

fn state(daemon: &Daemon, job: JobId) -> Option<JobState> {
    jobs(daemon).into_iter().find(|info| info.job == job).map(|info| info.state)
}

/// Asks until it is so.
fn until<T>(what: &str, mut so: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + TIMEOUT;
    loop {
        if let Some(so) = so() {
            return so;
        }
        assert!(Instant::now() < end, "{what} never came to be");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// That these are the images of the mock worker: one colour, which the seed says.
fn check(images: &[Image], seed: u64, count: u32) {
    assert_eq!(images.len(), count as usize);
    for (index, image) in (0..).zip(images) {
        let [.., red, green, blue] = (seed + index).to_be_bytes();
        assert_eq!((u64::from(image.info.index), image.info.seed), (index, seed + index));
        assert!(image.pixels.chunks(3).all(|pixel| pixel == [red, green, blue]));
        assert_eq!(image.pixels.len(), 3 * 64 * 64);
    }
}

#[test]
fn a_detached_job_is_generated_stored_fetched_and_deleted() {
    let daemon = Daemon::ready("");
    let job = detach(&daemon, draw(0x01_02_03, 3)).unwrap();
    until("the end", || state(&daemon, job).filter(|state| *state == JobState::Done));
    let info = jobs(&daemon).remove(0);
    assert!(info.detached && info.generated == 3 && info.count == 3 && info.seed == 0x01_02_03);
    assert_eq!((info.width, info.prompt.as_str()), (Some(64), "a fox"));
    assert_eq!(daemon.client().overview().unwrap().detached, 1);
    // Fetching does not delete: the client may not have saved the images.
    for _ in 0..2 {
        let mut waited = daemon.client().wait(job).unwrap();
        assert_eq!(waited.next(), Some(Ok(Update::Accepted { job, position: 0 })));
        assert_eq!(waited.asked(), Some(&draw(0x01_02_03, 3)));
        check(&finish(waited).unwrap(), 0x01_02_03, 3);
    }
    daemon.client().forget(job).unwrap();
    assert!(jobs(&daemon).is_empty());
    for failure in [wait(&daemon, job).unwrap_err(), daemon.client().forget(job).unwrap_err()] {
        assert_eq!(failure.kind, Kind::Refused);
        assert!(failure.message.ends_with(&format!("no detached job {job}")), "{failure}");
    }
}

#[test]
fn subscribers_get_all_of_it_and_the_job_does_not_need_them() {
    let daemon = Daemon::ready("hold@step:4");
    let job = detach(&daemon, draw(7, 2)).unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| daemon.client().wait(job).unwrap()).collect();
    for waiting in &mut waiting {
        assert!(matches!(waiting.next(), Some(Ok(Update::Accepted { .. }))));
    }
    // One of them disconnects, one detaches by a request.
    drop(waiting.pop());
    let mut leaver = waiting.pop().unwrap();
    leaver.canceller().unwrap().cancel().unwrap();
    let failure = leaver.find_map(Result::err).unwrap();
    assert_eq!((failure.kind, failure.message), (Kind::Cancelled, format!("job {job} goes on")));
    daemon.open_gate();
    check(&finish(waiting.pop().unwrap()).unwrap(), 7, 2);
    check(&wait(&daemon, job).unwrap(), 7, 2);
}

#[test]
fn a_connection_is_free_again_after_it_has_waited() {
    let daemon = Daemon::ready("");
    let job = detach(&daemon, draw(7, 1)).unwrap();
    check(&wait(&daemon, job).unwrap(), 7, 1);
    assert_eq!(daemon.client().forget(job + 1).unwrap_err().kind, Kind::Refused);
    daemon.client().cancel(job).unwrap();
    assert!(jobs(&daemon).is_empty(), "cancelling what has ended forgets it");
}

#[test]
fn a_detached_job_is_cancelled_wherever_it_is() {
    let daemon = Daemon::ready("hold@step:4");
    let running = detach(&daemon, draw(1, 1)).unwrap();
    let waiting = detach(&daemon, draw(2, 1)).unwrap();
    until("a step", || {
        state(&daemon, running).filter(|state| matches!(state, JobState::Running { step: 4, .. }))
    });
    let watcher = daemon.client().wait(waiting).unwrap();
    assert_eq!(daemon.client().forget(running).unwrap_err().kind, Kind::Refused, "not ended");
    for job in [waiting, running] {
        daemon.client().cancel(job).unwrap();
        until("its end", || state(&daemon, job).is_none().then_some(()));
    }
    assert_eq!(finish(watcher).unwrap_err().kind, Kind::Cancelled);
    daemon.open_gate();
    check(&daemon.draw(&draw(3, 1)).unwrap(), 3, 1);
    assert_eq!(std::fs::read_dir(daemon.folder().join("state/pictures")).unwrap().count(), 0);
}

#[test]
fn a_failed_job_is_stored_with_its_reason() {
    let daemon = Daemon::ready("refuse");
    let job = detach(&daemon, draw(1, 1)).unwrap();
    let said = "the prompt has 2000 tokens, 1504 are possible";
    let failed = |state: &JobState| matches!(state, JobState::Failed(f) if f.message == said);
    until("its failure", || state(&daemon, job).filter(failed));
    let failure = wait(&daemon, job).unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (Kind::Refused, said));
    daemon.client().forget(job).unwrap();
}

#[test]
fn whatever_is_killed_what_was_accepted_ends() {
    let state_dir = tempfile::tempdir().unwrap();
    let daemon = daemon_in(state_dir.path(), "", &[]);
    let done = detach(&daemon, draw(10, 2)).unwrap();
    check(&wait(&daemon, done).unwrap(), 10, 2);
    drop(daemon);

    let daemon = daemon_in(state_dir.path(), "hold@step:4", &[]);
    assert_eq!(state(&daemon, done), Some(JobState::Done));
    let running = detach(&daemon, draw(20, 2)).unwrap();
    let waiting: Vec<_> = (0..3).map(|n| detach(&daemon, draw(30 + n, 1)).unwrap()).collect();
    assert!(running > done && waiting.is_sorted() && waiting[0] > running);
    until("a step", || {
        state(&daemon, running).filter(|state| matches!(state, JobState::Running { step: 4, .. }))
    });
    drop(daemon);

    let daemon = daemon_in(state_dir.path(), "hold@step:4", &[]);
    let order: Vec<_> = jobs(&daemon).into_iter().map(|info| info.job).collect();
    assert_eq!(order, [&[running], &waiting[..], &[done]].concat());
    daemon.open_gate();
    check(&wait(&daemon, done).unwrap(), 10, 2);
    check(&wait(&daemon, running).unwrap(), 20, 2);
    for (n, job) in (0..).zip(waiting) {
        check(&wait(&daemon, job).unwrap(), 30 + n, 1);
    }
}

#[test]
fn a_daemon_that_stops_leaves_detached_jobs_to_the_next() {
    let state_dir = tempfile::tempdir().unwrap();
    let mut daemon = daemon_in(state_dir.path(), "hold@step:4", &[]);
    daemon.wait_for("READY=1");
    let running = detach(&daemon, draw(1, 1)).unwrap();
    let waiting = detach(&daemon, draw(2, 1)).unwrap();
    until("a step", || {
        state(&daemon, running).filter(|state| matches!(state, JobState::Running { step: 4, .. }))
    });
    let mut watcher = daemon.client().wait(running).unwrap();
    assert!(matches!(watcher.next(), Some(Ok(Update::Accepted { .. }))));
    daemon.signal(Signal::SIGTERM);
    let failure = watcher.find_map(Result::err).unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (Kind::Busy, "zimaged is shutting down"));
    assert!(daemon.wait().success());
    drop(daemon);
    let daemon = daemon_in(state_dir.path(), "", &[]);
    check(&wait(&daemon, running).unwrap(), 1, 1);
    check(&wait(&daemon, waiting).unwrap(), 2, 1);
}

#[test]
fn no_number_is_given_twice() {
    let state_dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let daemon = daemon_in(state_dir.path(), "", &[]);
        let (attached, _) = daemon.submit(&draw(1, 1));
        drop(attached);
        let job = detach(&daemon, draw(2, 1)).unwrap();
        assert!(job > last + 1, "{job} after {last}");
        wait(&daemon, job).unwrap();
        daemon.client().forget(job).unwrap();
        last = job;
    }
}

#[test]
fn from_one_command_line_to_another() {
    let daemon = Daemon::ready("hold@step:50");
    let zimg = |words: &[&str]| {
        let output = daemon.zimg(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    let (code, number, said) =
        zimg(&["a fox", "--detach", "-n", "2", "--seed", "7", "-s", "64x64"]);
    assert_eq!(code, Some(0), "{said}");
    let job = number.trim();
    let (code, text, _) = zimg(&["wait", job, "--keep", "-o", "fox-{index}.png"]);
    assert_eq!((code, &*text), (Some(0), ""));
    let (_, table, _) = zimg(&["jobs"]);
    let line = table.lines().nth(1).unwrap();
    assert!(line.starts_with(job) && line.contains(" done ") && line.contains("2 of 2"), "{line}");
    // What is there already is not replaced, and the job not lost by it.
    assert_eq!(zimg(&["wait", job, "-o", "fox-{index}.png"]).0, Some(73));
    assert_eq!(zimg(&["wait", job, "-o", "fox-{index}.png", "--force"]).0, Some(0));
    assert_eq!(zimg(&["jobs"]).1, "no jobs\n");
    let (code, _, said) = zimg(&["wait", job]);
    assert_eq!(code, Some(65));
    assert!(said.contains(&format!("no detached job {job}")), "{said}");
    let (_, shown, _) = zimg(&["show", "fox-2.png"]);
    assert!(shown.contains("a fox") && shown.contains("mock"), "{shown}");
    let (_, number, _) = zimg(&["a fox", "--detach", "-q", "--steps", "60"]);
    assert_eq!(zimg(&["cancel", number.trim()]).0, Some(0));
    // One that is being generated ends at its next step.
    until("its end", || (zimg(&["jobs"]).1 == "no jobs\n").then_some(()));
}

/// What the daemon says about its disk.
fn trouble(daemon: &Daemon) -> Option<Failure> {
    daemon.client().overview().unwrap().store_failure
}

fn images(state_dir: &Path) -> (PathBuf, PathBuf) {
    (state_dir.join("pictures"), state_dir.join("away"))
}

#[test]
fn a_disk_that_takes_nothing_loses_nothing_and_goes_on_when_it_does() {
    let state_dir = tempfile::tempdir().unwrap();
    let daemon = daemon_in(state_dir.path(), "", &[("ZIMAGED_TIMEOUTS", "disk_check=50ms")]);
    let first = detach(&daemon, draw(1, 2)).unwrap();
    check(&wait(&daemon, first).unwrap(), 1, 2);
    assert_eq!(trouble(&daemon), None);
    // A file in place of a folder takes nothing, not even from root.
    let (images, away) = images(state_dir.path());
    std::fs::rename(&images, &away).unwrap();
    std::fs::write(&images, "").unwrap();
    let held = detach(&daemon, draw(5, 2)).unwrap();
    let mut watcher = daemon.client().wait(held).unwrap();
    let waits = watcher.find_map(|update| match update {
        Ok(Update::Waiting(Waiting::Disk(failure))) => Some(failure),
        Err(failure) => panic!("{failure}"),
        _ => None,
    });
    let failure = waits.unwrap();
    assert_eq!(failure.kind, Kind::Io);
    assert!(failure.message.starts_with("cannot store jobs in "), "{failure}");
    until("the trouble", || trouble(&daemon).filter(|said| said.kind == Kind::Io));
    // Others are generated meanwhile.
    check(&daemon.draw(&draw(9, 1)).unwrap(), 9, 1);
    assert!(matches!(state(&daemon, held), Some(JobState::Blocked(_))));
    std::fs::remove_file(&images).unwrap();
    std::fs::rename(&away, &images).unwrap();
    check(&finish(watcher).unwrap(), 5, 2);
    check(&wait(&daemon, first).unwrap(), 1, 2);
    until("no trouble", || trouble(&daemon).is_none().then_some(()));
    let log = daemon.log();
    assert!(log.contains(&format!("event=\"job_blocked\" job={held}")), "{log}");
    assert!(log.contains(&format!("event=\"job_unblocked\" job={held}")), "{log}");
}

#[test]
fn without_a_folder_images_are_generated_and_nothing_is_stored() {
    let state_dir = tempfile::tempdir().unwrap();
    let in_the_way = state_dir.path().join("state");
    std::fs::write(&in_the_way, "").unwrap();
    let daemon = daemon_in(&in_the_way, "", &[("ZIMAGED_TIMEOUTS", "disk_check=50ms")]);
    check(&daemon.draw(&draw(1, 1)).unwrap(), 1, 1);
    let failure = detach(&daemon, draw(2, 1)).unwrap_err();
    assert_eq!(failure.kind, Kind::Io);
    assert!(failure.message.starts_with("cannot store jobs in "), "{failure}");
    assert_eq!(trouble(&daemon), Some(failure));
    assert!(daemon.log().contains("no detached jobs: cannot store jobs in "));
    assert!(daemon.log().contains("event=\"store_unavailable\""));
    // It is tried again by itself.
    std::fs::remove_file(&in_the_way).unwrap();
    until("no trouble", || trouble(&daemon).is_none().then_some(()));
    let job = detach(&daemon, draw(2, 1)).unwrap();
    check(&wait(&daemon, job).unwrap(), 2, 1);
}

#[test]
fn two_daemons_do_not_share_a_folder() {
    let state_dir = tempfile::tempdir().unwrap();
    let first = daemon_in(state_dir.path(), "", &[]);
    let second = daemon_in(state_dir.path(), "", &[]);
    let failure = detach(&second, draw(1, 1)).unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    let who = format!("another zimaged (process {}) stores its jobs there", first.pid());
    assert!(failure.message.ends_with(&who), "{failure}");
    check(&second.draw(&draw(1, 1)).unwrap(), 1, 1);
    drop(first);
    // Each request checks again.
    let job = until("the folder", || detach(&second, draw(2, 1)).ok());
    check(&wait(&second, job).unwrap(), 2, 1);
}

#[test]
fn without_a_state_folder_by_choice_the_hint_says_what_to_type() {
    let daemon = daemon_in(Path::new("off"), "", &[]);
    let failure = detach(&daemon, draw(1, 1)).unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (Kind::Config, "this zimaged stores no detached jobs")
    );
    check(&daemon.draw(&draw(1, 1)).unwrap(), 1, 1);
}

#[test]
fn damaged_jobs_are_moved_aside_reported_and_never_overwritten() {
    let state_dir = tempfile::tempdir().unwrap();
    let daemon = daemon_in(state_dir.path(), "", &[]);
    let job = detach(&daemon, draw(1, 1)).unwrap();
    wait(&daemon, job).unwrap();
    drop(daemon);
    let database = state_dir.path().join("jobs.sqlite");
    let mut bytes = std::fs::read(&database).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0x55);
    std::fs::write(&database, &bytes).unwrap();
    let daemon = daemon_in(state_dir.path(), "", &[]);
    let failure = trouble(&daemon).unwrap();
    assert_eq!(failure.kind, Kind::Io);
    assert!(failure.message.starts_with("detached jobs were damaged and are lost: "), "{failure}");
    let hint = failure.hint.unwrap();
    let aside = hint.strip_prefix("what is left of them is in ").unwrap();
    assert!(std::fs::read(aside).unwrap() == bytes);
    assert!(daemon.log().contains(aside) && daemon.log().contains("event=\"store_damaged\""));
    let next = detach(&daemon, draw(2, 1)).unwrap();
    assert!(next > job);
    check(&wait(&daemon, next).unwrap(), 2, 1);
}

#[test]
fn a_damaged_image_is_generated_again_before_it_is_delivered() {
    let state_dir = tempfile::tempdir().unwrap();
    let daemon = daemon_in(state_dir.path(), "", &[]);
    let job = detach(&daemon, draw(1, 3)).unwrap();
    wait(&daemon, job).unwrap();
    let image = state_dir.path().join(format!("pictures/{job}-1.rgb"));
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[999] ^= 0x10;
    std::fs::write(&image, &bytes).unwrap();
    check(&wait(&daemon, job).unwrap(), 1, 3);
    assert_eq!(state(&daemon, job), Some(JobState::Done));
    let damaged = format!("event=\"image_damaged\" job={job} image=1");
    assert!(daemon.log().contains(&damaged), "{}", daemon.log());
    std::fs::remove_file(&image).unwrap();
    let waiting: Vec<_> = (0..2).map(|_| daemon.client().wait(job).unwrap()).collect();
    for waiting in waiting {
        check(&finish(waiting).unwrap(), 1, 3);
    }
}

#[test]
fn what_is_not_fetched_expires() {
    let state_dir = tempfile::tempdir().unwrap();
    let environment = [("ZIMAGED_RETENTION", "1s"), ("ZIMAGED_TIMEOUTS", "disk_check=50ms")];
    let daemon = daemon_in(state_dir.path(), "", &environment);
    let job = detach(&daemon, draw(1, 1)).unwrap();
    check(&wait(&daemon, job).unwrap(), 1, 1);
    until("its end", || jobs(&daemon).is_empty().then_some(()));
    assert!(daemon.log().contains(&format!("event=\"job_expired\" job={job}")));
    assert_eq!(std::fs::read_dir(state_dir.path().join("pictures")).unwrap().count(), 0);
}

#[test]
fn there_is_room_for_so_much_and_what_is_fetched_makes_room() {
    let state_dir = tempfile::tempdir().unwrap();
    let environment =
        [("ZIMAGED_RETENTION_BYTES", "2M"), ("ZIMAGED_RETENTION_BYTES_PER_USER", "1M")];
    let daemon = daemon_in(state_dir.path(), "", &environment);
    let large = |seed| Params { width: Some(512), height: Some(512), ..draw(seed, 1) };
    let job = detach(&daemon, large(1)).unwrap();
    let failure = detach(&daemon, large(2)).unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    assert_eq!(failure.message, "your detached jobs would take 2 MiB, and your quota is 1 MiB");
    assert_eq!(
        failure.hint.unwrap(),
        "fetch some with `zimg wait`, or drop them with `zimg cancel`"
    );
    wait(&daemon, job).unwrap();
    daemon.client().forget(job).unwrap();
    detach(&daemon, large(2)).unwrap();
}

#[test]
fn jobs_wait_for_a_worker_that_cannot_be_and_for_a_better_configuration() {
    let state_dir = tempfile::tempdir().unwrap();
    let daemon = daemon_in(state_dir.path(), "hang@load,exit:78", &[]);
    let job = detach(&daemon, draw(1, 1)).unwrap();
    daemon.open_gate();
    let failure = until("the failure", || detach(&daemon, draw(2, 1)).err());
    assert_eq!(failure.kind, Kind::Config);
    assert!(matches!(state(&daemon, job), Some(JobState::Waiting { .. })));
    drop(daemon);
    let daemon = daemon_in(state_dir.path(), "", &[]);
    check(&wait(&daemon, job).unwrap(), 1, 1);
}
