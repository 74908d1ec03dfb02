//! Resuming: a job that stops between two steps and goes on, in the same worker or in another, ends
//! in the same image: the real worker and the built-in model.

#![expect(clippy::panic, reason = "a helper fails its test by panicking")]

use zimage_ipc::{Command, Point, Report};
use zimg_protocol::messages::{Params, Timings};
use zimg_protocol::{Failure, Kind};
use zimg_tests::{Run, Snapshot, Worker};

fn draw() -> Params {
    Params {
        width: Some(96),
        height: Some(64),
        steps: Some(4),
        seed: Some(5),
        ..Params::new("a red circle")
    }
}

fn two_guided() -> Params {
    let negative = Some("a blue square".into());
    Params {
        guidance: Some(2.0),
        negative,
        guidance_normalization: Some(1.0),
        count: Some(2),
        ..draw()
    }
}

fn failure(run: &Run) -> &Failure {
    match &run.end {
        Some(Report::Failed { failure, .. }) => failure,
        other => panic!("not failed but {other:?}"),
    }
}

#[test]
fn a_job_goes_on_from_any_of_its_points_to_the_same_images() {
    let mut first = Worker::start();
    let mut second = Worker::start();
    for (count, job) in [(1, draw()), (2, two_guided())] {
        let whole = first.draw(1, &job, None);
        assert!(matches!(whole.end, Some(Report::Done { .. })), "{:?}", whole.end);
        assert_eq!(whole.images.len(), count);
        // A point after each step but an image's last, and one between two images.
        let points: Vec<_> = whole
            .points
            .iter()
            .map(|snapshot| (snapshot.point.image, snapshot.point.step))
            .collect();
        let all = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)];
        assert_eq!(points, &all[..if count == 1 { 3 } else { 7 }]);
        for snapshot in &whole.points {
            let rest = second.draw(2, &job, Some(snapshot));
            let Point { image, step, timings, .. } = snapshot.point;
            let Some(Report::Done { timings: after, .. }) = rest.end else {
                panic!("not done but {:?}", rest.end)
            };
            assert!(after.steps > timings.steps && after.total > timings.total);
            assert!(
                rest.images == whole.images[image as usize..],
                "from step {step} of image {image}"
            );
            assert_eq!(rest.steps.len(), 4 * count - (4 * image + step) as usize);
        }
    }
}

#[test]
fn a_paused_job_stops_at_its_next_step_and_goes_on_later() {
    let mut worker = Worker::start();
    // Enough steps that there is one left when the pause arrives, on a busy machine too.
    let job = Params { steps: Some(50), ..two_guided() };
    let whole = worker.draw(1, &job, None);
    let at = |image, step| move |report: &Report| matches!(report, Report::Step { step: at, .. } if (at.image, at.step) == (image, step));
    let decoding = |report: &Report| matches!(report, Report::Decoding { image: 0, .. });
    for pause_at in [&at(0, 1) as &dyn Fn(&Report) -> bool, &decoding, &at(1, 2)] {
        worker.submit(2, &job, false, None);
        let begun = worker.follow(2, |worker, report| {
            if pause_at(report) {
                worker.send(Command::Pause { job: 2 });
            }
        });
        assert!(matches!(begun.end, Some(Report::Paused { job: 2 })), "{:?}", begun.end);
        // Where it goes on is behind the last step that was told.
        let snapshot = begun.points.last().unwrap();
        let told = begun.steps.last().unwrap();
        let stands = (snapshot.point.image, snapshot.point.step);
        assert!(stands == *told || (stands == (1, 0) && *told == (0, 50)), "{stands:?} {told:?}");
        // Another job goes first.
        assert_eq!(worker.draw(3, &draw(), None).images.len(), 1);
        let rest = worker.draw(2, &job, Some(snapshot));
        assert!([begun.images, rest.images].concat() == whole.images, "from {stands:?}");
    }
}

#[test]
fn a_pause_of_a_job_that_is_not_running_does_nothing() {
    let mut worker = Worker::start();
    assert_eq!(worker.draw(1, &draw(), None).images.len(), 1);
    for job in [0, 1, 2, u64::MAX] {
        worker.send(Command::Pause { job });
        worker.send(Command::Cancel { job });
    }
    // The same number again, and one that was requested before the job came.
    for job in [1, 2] {
        let run = worker.draw(job, &draw(), None);
        assert!(matches!(run.end, Some(Report::Done { .. })), "{:?}", run.end);
    }
    // And the running job is still paused and cancelled on request.
    worker.submit(3, &Params { steps: Some(100), ..draw() }, false, None);
    worker.send(Command::Pause { job: 3 });
    let run = worker.follow(3, |_, _| {});
    assert!(matches!(run.end, Some(Report::Paused { .. })) && run.images.is_empty());
    worker.submit(4, &Params { steps: Some(100), ..draw() }, false, None);
    worker.send(Command::Pause { job: 4 });
    worker.send(Command::Cancel { job: 4 });
    let run = worker.follow(4, |_, _| {});
    // The pause may have been seen before the cancellation had come.
    assert!(matches!(run.end, Some(Report::Paused { .. } | Report::Failed { .. })));
}

#[test]
fn what_is_not_a_point_of_the_job_is_refused_and_the_worker_lives() {
    let mut worker = Worker::start();
    let good = worker.draw(1, &draw(), None).points[1].clone();
    let with = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = good.clone();
        change(&mut snapshot);
        snapshot.point.bytes = snapshot.latents.len() as u64;
        snapshot
    };
    let cases: [(Snapshot, &str); 6] = [
        (with(&|snapshot| snapshot.point.image = 1), "it is number 1 of 1"),
        (with(&|snapshot| snapshot.point.step = 4), "step 4 is not before the last of 4"),
        (with(&|snapshot| snapshot.point.step = 0), "it has latents before its first step"),
        (
            with(&|snapshot| snapshot.latents.truncate(400)),
            "its latents have 400 bytes instead of 6144",
        ),
        (with(&|snapshot| snapshot.latents.clear()), "its latents have 0 bytes instead of 6144"),
        (with(&|snapshot| snapshot.latents[..4].fill(0xff)), "its latents are not finite numbers"),
    ];
    for (snapshot, said) in cases {
        let run = worker.draw(2, &draw(), Some(&snapshot));
        assert_eq!(failure(&run).kind, Kind::Internal);
        assert_eq!(failure(&run).message, format!("the generation cannot be resumed: {said}"));
    }
    let nothing = Snapshot {
        point: Point { image: 0, step: 0, bytes: 0, timings: Timings::default() },
        latents: Vec::new(),
    };
    let whole = worker.draw(3, &draw(), Some(&nothing));
    let rest = worker.draw(4, &draw(), Some(&good));
    assert!(whole.images == rest.images && whole.images.len() == 1);
}
