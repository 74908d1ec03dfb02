//! Queue: limits, priorities, preemption, fairness between users, and who may see and cancel jobs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use zimg_client::{
    Client, DaemonLimits, Generate, Job, JobState, Kind, Params, Preview, Priority, Update, Waiting,
};
use zimg_tests::{Daemon, Options, finish, mock, wait_until};

const SEED: u64 = 0x01_0203;

fn draw(steps: u32) -> Params {
    Params {
        width: Some(64),
        height: Some(96),
        steps: Some(steps),
        seed: Some(SEED),
        ..Params::new("a fox")
    }
}

fn submit(draw: Params, priority: Priority) -> Generate {
    Generate { params: draw, priority, detach: false, previews: false, ..Generate::default() }
}

/// A daemon with these settings and a mock worker with this script.
fn with(mock: &str, settings: &[(&str, &str)]) -> Daemon {
    let environment = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Daemon::with(Options {
        mock: mock.into(),
        environment: environment.collect(),
        ..Options::default()
    })
}

/// A job that the daemon has accepted.
fn accepted(daemon: &Daemon, submit: &Generate) -> Job {
    let mut job = daemon.client().generate(submit).unwrap();
    match job.next() {
        Some(Ok(Update::Accepted { .. })) => job,
        other => panic!("not accepted but {other:?}"),
    }
}

/// Goes on until the job has this update.
fn until(job: &mut Job, wanted: impl Fn(&Update) -> bool) -> Update {
    for update in job {
        let update = update.unwrap();
        if wanted(&update) {
            return update;
        }
    }
    panic!("the job ended without it");
}

#[test]
fn limits_are_configurable_and_a_full_queue_reports_its_depth() {
    let settings =
        [("ZIMAGED_JOBS", "3"), ("ZIMAGED_JOBS_PER_USER", "2"), ("ZIMAGED_CONNECTIONS", "12")];
    let daemon = with("hold@load", &settings);
    let limits = daemon.client().overview().unwrap().limits;
    assert_eq!(limits, DaemonLimits { jobs: 3, jobs_per_user: 2, connections: 12 });
    let jobs =
        [Priority::Batch, Priority::Interactive].map(|p| accepted(&daemon, &submit(draw(8), p)));
    let mut third = daemon.client().generate(submit(draw(8), Priority::Batch)).unwrap();
    let failure = third.next().unwrap().unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    assert_eq!(failure.message, "you already have 2 jobs in the queue");
    let busy = third.busy().unwrap();
    assert_eq!((busy.depth, busy.wait_ms), (2, None), "nothing was measured yet");
    // Clients that know no `Busy` are told as they know it.
    assert_eq!(daemon.draw(&draw(8)).unwrap_err(), failure);
    let output = daemon.zimg(&["a fox", "-o", "fox.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    daemon.open_gate();
    for job in jobs {
        finish(job).unwrap();
    }
    assert_eq!(daemon.client().overview().unwrap().counters.busy, 3);
}

#[test]
fn one_user_has_three_quarters_of_the_connections() {
    let daemon = with("", &[("ZIMAGED_CONNECTIONS", "4")]);
    let _clients = [0; 3].map(|_| daemon.client());
    let refused = Client::connect("test 1.0", daemon.socket()).unwrap_err();
    assert_eq!(refused.kind, Kind::Busy);
    assert_eq!(refused.message, "you already have 3 connections to zimaged, try again later");
}

#[test]
fn all_places_taken_says_how_long_until_one_is_free() {
    let daemon = with("ms:1000,hold@step:9", &[("ZIMAGED_JOBS", "1")]);
    let overview = daemon.client().overview().unwrap();
    assert_eq!(overview.unfinished, 0);
    // Measured while it is generated, and forty steps are left after the ninth.
    let mut running = accepted(&daemon, &submit(draw(49), Priority::Interactive));
    until(&mut running, |update| matches!(update, Update::Step(step) if step.step == 9));
    let mut refused = daemon.client().generate(submit(draw(8), Priority::Interactive)).unwrap();
    let failure = refused.next().unwrap().unwrap_err();
    assert_eq!(failure.message, "the queue is full with 1 job; one of them ends in about 40 s");
    assert_eq!(refused.busy().unwrap().wait_ms, Some(40_000));
    let overview = daemon.client().overview().unwrap();
    assert_eq!((overview.unfinished, overview.wait_ms), (1, Some(40_000)));
    assert_eq!(daemon.client().overview().unwrap().counters.steps, 9);
    daemon.open_gate();
    finish(running).unwrap();
}

#[test]
fn a_client_can_wait_for_a_place_in_the_queue() {
    let daemon = with("hold@step:9", &[("ZIMAGED_JOBS", "1")]);
    let running = accepted(&daemon, &submit(draw(9), Priority::Interactive));
    daemon.held();
    let refused = daemon.zimg(&["a fox", "-o", "fox.png", "-q"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(75));
    let mut zimg = daemon.zimg(&["a fox", "-o", "fox.png", "--wait"]).spawn().unwrap();
    let busy = || daemon.client().overview().unwrap().counters.busy;
    wait_until("it was told that there is no place", || busy() >= 2);
    daemon.open_gate();
    finish(running).unwrap();
    assert!(zimg.wait().unwrap().success());
    assert!(daemon.folder().join("fox.png").exists());
}

#[test]
fn an_interactive_job_preempts_a_batch_at_its_next_step() {
    let mut daemon = Daemon::ready("hold@step:3");
    let mut batch = accepted(&daemon, &submit(draw(8), Priority::Batch));
    assert_eq!(daemon.held(), "step:3");
    // Not so another batch.
    let other = accepted(&daemon, &submit(draw(2), Priority::Batch));
    let interactive = accepted(&daemon, &submit(draw(2), Priority::Interactive));
    assert_eq!(finish(interactive).unwrap().len(), 1);
    let preempted = until(&mut batch, |update| matches!(update, Update::Waiting(_)));
    assert_eq!(preempted, Update::Waiting(Waiting::Preempted { position: 1 }));
    // It goes on where it was, before all others, to the image that it would have been.
    let resumed = until(&mut batch, |update| matches!(update, Update::Resumed { .. }));
    assert_eq!(resumed, Update::Resumed { image: 0, step: 3 });
    let images = finish(batch).unwrap();
    assert_eq!(images[0].pixels[..3], mock::colour(SEED));
    finish(other).unwrap();
    let counters = daemon.client().overview().unwrap().counters;
    assert_eq!((counters.preempted, counters.resumed), (1, 0));
    assert_eq!(counters.steps, 8 + 2 + 2, "no step was generated twice");
    daemon.wait_for("STATUS=ready");
}

#[test]
fn a_batch_that_is_preempted_again_and_again_still_progresses() {
    let daemon = Daemon::ready("slow:1");
    let batch = accepted(&daemon, &submit(Params { count: Some(4), ..draw(50) }, Priority::Batch));
    let reader = std::thread::spawn(move || finish(batch).unwrap());
    for _ in 0..20 {
        finish(accepted(&daemon, &submit(draw(1), Priority::Interactive))).unwrap();
    }
    let images = reader.join().unwrap();
    let right = (0..4).all(|i| images[i].pixels[..3] == mock::colour(SEED + i as u64));
    assert!(right && images.len() == 4);
    let counters = daemon.client().overview().unwrap().counters;
    assert_eq!(counters.steps, 4 * 50 + 20, "no step was generated twice");
}

#[test]
fn a_paused_job_can_be_cancelled() {
    let daemon = Daemon::ready("hold@step:3,hold@step:1");
    let mut batch = accepted(&daemon, &submit(draw(8), Priority::Batch));
    daemon.held();
    let interactive = accepted(&daemon, &submit(draw(2), Priority::Interactive));
    until(&mut batch, |update| matches!(update, Update::Waiting(Waiting::Preempted { .. })));
    daemon.client().cancel(1).unwrap();
    assert_eq!(finish(batch).unwrap_err().kind, Kind::Cancelled);
    daemon.open_gate();
    finish(interactive).unwrap();
}

#[test]
fn users_see_their_jobs_and_can_cancel_them() {
    let daemon = Daemon::ready("hold@step:2");
    let mut running = accepted(&daemon, &submit(draw(8), Priority::Interactive));
    daemon.held();
    let waiting = accepted(&daemon, &submit(draw(8), Priority::Batch));
    until(&mut running, |update| matches!(update, Update::Step(step) if step.step == 2));
    let jobs = daemon.client().jobs().unwrap();
    let states: Vec<_> = jobs.iter().map(|job| (job.job, job.state.clone())).collect();
    let first = JobState::Running { image: 0, step: 2, of: 8 };
    assert_eq!(states, [(1, first), (2, JobState::Waiting { position: 1 })]);
    assert_eq!((jobs[1].priority, jobs[1].width, jobs[1].seed), (Priority::Batch, Some(64), SEED));
    assert_eq!(jobs[0].prompt, "a fox");
    assert!(jobs[0].accepted_unix_s > 1_700_000_000);
    let mut client = daemon.client();
    for (id, job) in [(1, running), (2, waiting)] {
        client.cancel(id).unwrap();
        assert_eq!(finish(job).unwrap_err().kind, Kind::Cancelled);
        assert!(client.cancel(id).unwrap_err().message.ends_with(&format!("unfinished job {id}")));
    }
    assert_eq!(client.jobs().unwrap(), []);
    assert_eq!(client.overview().unwrap().counters.cancelled, 2);
}

#[test]
fn previews_are_sent_only_on_request() {
    let daemon = Daemon::ready("slow:5");
    let previews = |requested| {
        let submit = Generate { previews: requested, ..submit(draw(4), Priority::Interactive) };
        let updates = daemon.client().generate(&submit).unwrap().map(Result::unwrap);
        updates
            .filter_map(|update| match update {
                Update::Preview(preview) => Some(preview),
                _ => None,
            })
            .collect::<Vec<Preview>>()
    };
    assert_eq!(previews(false), []);
    let seen = previews(true);
    // Previews that the client did not read in time were replaced.
    assert!((1..=4).contains(&seen.len()), "{}", seen.len());
    let last = seen.last().unwrap();
    assert_eq!((last.image, last.step, last.width, last.height), (0, 4, 8, 12));
    assert_eq!(*last.rgb, [4; 3 * 8 * 12]);
}
