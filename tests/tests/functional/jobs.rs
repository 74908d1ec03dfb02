//! Jobs between clients, the daemon and a worker: order, waiting, cancelling, limits.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use nix::sys::signal::Signal;
use zimg_client::{Job, Kind, Params, Update, Waiting, WorkerState};
use zimg_tests::{Daemon, Options, finish};

fn draw() -> Params {
    Params { width: Some(64), height: Some(96), ..Params::new("a fox") }
}

/// Goes on until the job has this update.
fn until(job: &mut Job, wanted: impl Fn(&Update) -> bool) {
    for update in job {
        if wanted(&update.unwrap()) {
            return;
        }
    }
    panic!("the job ended without it");
}

fn step(at: u32) -> impl Fn(&Update) -> bool {
    move |update| matches!(update, Update::Step(step) if step.step == at)
}

#[test]
fn a_prompt_becomes_its_images() {
    let daemon = Daemon::ready("");
    let images = daemon.draw(&Params { seed: Some(0x01_0203), count: Some(3), ..draw() }).unwrap();
    for (index, image) in images.iter().enumerate() {
        let blue = 3 + u8::try_from(index).unwrap();
        assert_eq!((image.info.width, image.info.height), (64, 96));
        assert_eq!(image.info.seed, 0x01_0203 + index as u64);
        assert_eq!(image.pixels, [1, 2, blue].repeat(64 * 96));
    }
    assert_eq!(images.len(), 3);
    let status = daemon.status();
    assert_eq!(
        (status.done, status.failed, status.queued, status.workers[0].restarts),
        (1, 0, 0, 0)
    );
    assert_eq!(status.workers[0].state, WorkerState::Ready);
    assert_eq!(status.workers[0].model.as_ref().unwrap().name, "mock");
}

#[test]
fn defaults_are_the_models_and_timings_are_reported() {
    let daemon = Daemon::ready("");
    let updates: Vec<_> =
        daemon.client().generate(Params::new("")).unwrap().map(Result::unwrap).collect();
    assert!(matches!(updates[0], Update::Accepted { job: 1, position: 0 }));
    let started = updates.iter().find_map(|update| match update {
        Update::Started(started) => Some(started),
        _ => None,
    });
    let started = started.unwrap();
    assert_eq!((started.width, started.height, started.steps), (256, 256, 8));
    let Some(Update::Done(timings)) = updates.last() else { panic!("no Done at the end") };
    assert!(timings.total >= timings.queued && timings.total > 0.0);
    assert!((timings.steps - 8.0).abs() < f32::EPSILON, "the worker's own times stay");
}

#[test]
fn a_large_image_comes_whole() {
    let daemon = Daemon::ready("");
    let large = Params { width: Some(2048), height: Some(2048), seed: Some(7), ..draw() };
    let images = daemon.draw(&large).unwrap();
    assert_eq!(images[0].pixels.len(), 3 * 2048 * 2048);
    assert!(images[0].pixels.chunks(3).all(|pixel| pixel == [0, 0, 7]));
}

#[test]
fn an_early_client_waits_and_sees_why() {
    let daemon = Daemon::start("hold@load");
    let (mut job, position) = daemon.submit(&draw());
    assert_eq!(position, 0);
    let loading = WorkerState::Loading { done: 1 << 30, total: 4 << 30 };
    until(&mut job, |update| *update == Update::Waiting(Waiting::Worker(loading.clone())));
    assert_eq!(daemon.status().workers[0].state, loading);
    daemon.open_gate();
    assert_eq!(finish(job).unwrap().len(), 1);
}

#[test]
fn a_waiting_client_knows_its_position() {
    let daemon = Daemon::ready("hold@step:2");
    let (mut first, position) = daemon.submit(&draw());
    assert_eq!(position, 0);
    until(&mut first, step(2));
    let (mut second, position) = daemon.submit(&draw());
    assert_eq!(position, 1);
    let (mut third, position) = daemon.submit(&draw());
    assert_eq!(position, 2);
    let status = daemon.status();
    assert_eq!(status.queued, 2);
    assert_eq!(status.workers[0].state, WorkerState::Busy { job: 1, step: 2, of: 8 });
    drop(first);
    until(&mut third, |update| *update == Update::Waiting(Waiting::Queue { position: 1 }));
    until(&mut second, step(2));
    daemon.open_gate();
    finish(second).unwrap();
    finish(third).unwrap();
    assert_eq!(daemon.status().done, 2);
}

#[test]
fn cancelling_ends_a_running_job_at_its_next_step() {
    let daemon = Daemon::ready("hold@step:3");
    let (mut job, _) = daemon.submit(&draw());
    until(&mut job, step(3));
    job.canceller().unwrap().cancel().unwrap();
    assert_eq!(finish(job).unwrap_err().kind, Kind::Cancelled);
    assert_eq!(daemon.status().workers[0].state, WorkerState::Ready);
}

#[test]
fn cancelling_takes_a_waiting_job_out_at_once() {
    let daemon = Daemon::ready("hold@step:1");
    let (mut first, _) = daemon.submit(&draw());
    until(&mut first, step(1));
    let (second, _) = daemon.submit(&draw());
    let (mut third, _) = daemon.submit(&draw());
    second.canceller().unwrap().cancel().unwrap();
    assert_eq!(finish(second).unwrap_err().kind, Kind::Cancelled);
    until(&mut third, |update| *update == Update::Waiting(Waiting::Queue { position: 1 }));
    // A client that goes takes its job with it.
    drop(third);
    daemon.open_gate();
    finish(first).unwrap();
    let status = daemon.status();
    assert_eq!((status.queued, status.done, status.failed), (0, 1, 2));
}

#[test]
fn a_client_that_goes_frees_the_worker_for_the_next() {
    let daemon = Daemon::ready("hold@step:1;");
    let (mut first, _) = daemon.submit(&draw());
    until(&mut first, step(1));
    let (mut second, _) = daemon.submit(&draw());
    drop(first);
    until(&mut second, |update| matches!(update, Update::Started(_)));
    daemon.open_gate();
    finish(second).unwrap();
}

#[test]
fn ctrl_c_ends_zimg_with_130_and_frees_the_worker() {
    let mut daemon = Daemon::ready("hold@step:4");
    let mut zimg = daemon.zimg(&["a fox", "-o", "fox.png"]).spawn().unwrap();
    daemon.wait_for("STATUS=generating job 1");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(zimg.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(zimg.wait().unwrap().code(), Some(130));
    assert!(!daemon.folder().join("fox.png").exists());
    daemon.open_gate();
    daemon.draw(&draw()).unwrap();
}

#[test]
fn one_user_has_eight_jobs_at_most() {
    let daemon = Daemon::start("hold@load");
    let jobs: Vec<_> = (0..8).map(|_| daemon.submit(&draw())).collect();
    let failure = daemon.draw(&draw()).unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    assert_eq!(failure.message, "you already have 8 jobs in the queue");
    let positions: Vec<_> = jobs.iter().map(|(_, position)| *position).collect();
    assert_eq!(positions, [0, 1, 2, 3, 4, 5, 6, 7]);
    let output = daemon.zimg(&["a fox", "-o", "fox.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    daemon.open_gate();
    for (job, _) in jobs {
        finish(job).unwrap();
    }
}

#[test]
fn the_workers_refusal_reaches_the_command_line() {
    let daemon = Daemon::ready("refuse");
    let output = daemon.zimg(&["a fox", "-o", "fox.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the prompt has 2000 tokens"), "{said}");
    assert_eq!(daemon.status().workers[0].state, WorkerState::Ready);
}

#[test]
fn zimg_writes_the_image() {
    let daemon = Daemon::ready("");
    let arguments = ["a fox", "-o", "fox.png", "--size", "64x96", "--seed", "66051"];
    let output = daemon.zimg(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let image = image::open(daemon.folder().join("fox.png")).unwrap().to_rgb8();
    assert_eq!(image.dimensions(), (64, 96));
    assert!(image.pixels().all(|pixel| pixel.0 == [1, 2, 3]));
}

#[test]
fn prompts_are_not_logged() {
    let mut daemon = Daemon::with(Options {
        environment: vec![("RUST_LOG".into(), "trace".into())],
        ..Options::default()
    });
    let prompt = "pink-elephant";
    let secret = Params { prompt: prompt.into(), negative: Some("grey-mouse".into()), ..draw() };
    daemon.draw(&secret).unwrap();
    daemon.draw(&Params { width: Some(65), ..secret }).unwrap_err();
    // All lines are written when it has ended.
    daemon.stop();
    let log = daemon.log();
    assert!(log.contains("event=\"job_ended\""), "{log}");
    assert!(log.contains(&format!("prompt_bytes={}", prompt.len())), "{log}");
    assert!(!log.contains("elephant") && !log.contains("mouse"), "{log}");
}
