//! Initial images and masks with the real worker and the built-in model: the same bits from wherever a
//! job goes on, and images that follow what was sent.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimage_ipc::{Point, Report};
use zimg_client::{
    Generate, Image, ImageRole, ImageUpload, Job, Kind, Params, PixelLayout, Priority, Update,
    UploadMethod,
};
use zimg_tests::{Daemon, Options, Worker, built_worker, faulty_starts, finish};

const WIDTH: u32 = 96;
const HEIGHT: u32 = 64;

/// Pixels by their roles.
type Inputs = Vec<(ImageRole, Vec<u8>)>;

/// A gradient in colour.
fn initial() -> Vec<u8> {
    let pixel = |x: u32, y: u32| [(x * 2) as u8, (y * 3) as u8, (x + y) as u8];
    (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| pixel(x, y))).collect()
}

/// White on the right half.
fn mask() -> Vec<u8> {
    let pixel = |x: u32| if x < WIDTH / 2 { 0 } else { 255 };
    (0..HEIGHT).flat_map(|_| (0..WIDTH).map(pixel)).collect()
}

fn images(with_mask: bool) -> Inputs {
    let mask = with_mask.then(|| (ImageRole::Mask, mask()));
    [(ImageRole::Initial, initial())].into_iter().chain(mask).collect()
}

fn params() -> Params {
    Params {
        width: Some(WIDTH),
        height: Some(HEIGHT),
        steps: Some(6),
        strength: Some(0.5),
        seed: Some(5),
        count: Some(2),
        ..Params::new("a red circle")
    }
}

fn submit(daemon: &Daemon, request: Generate, images: &[(ImageRole, Vec<u8>)]) -> Job {
    let uploads: Vec<_> = images
        .iter()
        .map(|(role, pixels)| ImageUpload {
            role: *role,
            layout: if *role == ImageRole::Mask { PixelLayout::L8 } else { PixelLayout::Rgb8 },
            width: WIDTH,
            height: HEIGHT,
            pixels,
        })
        .collect();
    daemon.client().generate_from(request, &uploads, UploadMethod::default()).unwrap()
}

fn pixels(images: Vec<Image>) -> Vec<Vec<u8>> {
    images.into_iter().map(|image| image.pixels).collect()
}

#[test]
fn a_job_with_images_goes_on_from_any_of_its_points_to_the_same_images() {
    let (mut first, mut second) = (Worker::start(), Worker::start());
    let capabilities = &first.model().capabilities;
    assert!(capabilities.initial_image && capabilities.mask && !capabilities.control_image);
    for with_mask in [false, true] {
        let (job, images) = (params(), images(with_mask));
        let whole = first.draw_with(1, &job, None, &images);
        assert!(matches!(whole.end, Some(Report::Done { .. })), "{:?}", whole.end);
        // Three of six steps of each image.
        let steps = [0, 1].map(|image| (4..=6).map(move |step| (image, step)));
        let steps: Vec<_> = steps.into_iter().flatten().collect();
        assert_eq!(whole.steps, steps);
        let points: Vec<_> =
            whole.points.iter().map(|at| (at.point.image, at.point.step)).collect();
        assert_eq!(points, [(0, 4), (0, 5), (1, 0), (1, 4), (1, 5)]);
        for snapshot in &whole.points {
            let rest = second.draw_with(2, &job, Some(snapshot), &images);
            let Point { image, step, .. } = snapshot.point;
            assert!(matches!(rest.end, Some(Report::Done { .. })), "{:?}", rest.end);
            assert!(
                rest.images == whole.images[image as usize..],
                "from step {step} of image {image}"
            );
        }
        // Another job in between has nothing of them.
        let plain = Params { strength: None, count: Some(1), ..job.clone() };
        assert_ne!(second.draw(3, &plain, None).images[0], whole.images[0]);
        assert!(second.draw_with(4, &job, None, &images).images == whole.images);
    }
}

#[test]
fn images_follow_what_was_sent() {
    let mut worker = Worker::start();
    let mut drawn = |strength: f32, images: &[(ImageRole, Vec<u8>)]| {
        let job = Params { strength: Some(strength), count: Some(1), ..params() };
        worker.draw_with(1, &job, None, images).images.remove(0).1
    };
    let far = |image: &[u8], x: std::ops::Range<u32>| {
        let (sent, row) = (initial(), 3 * WIDTH as usize);
        let rows = image.chunks(row).zip(sent.chunks(row));
        let columns = 3 * x.start as usize..3 * x.end as usize;
        let differences = rows.flat_map(|(one, other)| {
            let pairs = one[columns.clone()].iter().zip(&other[columns.clone()]);
            pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).collect::<Vec<_>>()
        });
        differences.sum::<u64>()
    };
    let (little, much) = (drawn(0.2, &images(false)), drawn(1.0, &images(false)));
    assert!(far(&little, 0..WIDTH) < far(&much, 0..WIDTH), "strength draws more of it again");
    let masked = drawn(1.0, &images(true));
    let quarter = WIDTH / 4;
    let (kept, changed) = (far(&masked, 0..quarter), far(&masked, 3 * quarter..WIDTH));
    assert!(kept < changed, "black stays: {kept} and {changed}");
}

#[test]
fn what_does_not_fit_the_job_is_refused_and_the_worker_lives() {
    let mut worker = Worker::start();
    let mut refused = |change: &dyn Fn(&mut Params, &mut Inputs)| {
        let (mut job, mut images) = (params(), images(true));
        change(&mut job, &mut images);
        match worker.draw_with(1, &job, None, &images).end {
            Some(Report::Failed { failure, .. }) => failure.kind,
            other => panic!("not refused but {other:?}"),
        }
    };
    assert_eq!(refused(&|job, _| job.width = Some(WIDTH + 16)), Kind::Refused);
    assert_eq!(refused(&|job, _| job.strength = Some(0.0)), Kind::Refused);
    assert_eq!(refused(&|_, images| images[0].0 = ImageRole::Control), Kind::Refused);
    assert_eq!(refused(&|_, images| images.clear()), Kind::Refused, "strength alone");
    assert_eq!(worker.draw_with(2, &params(), None, &images(true)).images.len(), 2);
}

fn daemon(worker: Option<&Path>, state: &Path) -> Daemon {
    Daemon::with(Options {
        worker: Some(worker.map_or_else(built_worker, Path::to_owned)),
        state: Some(state.to_owned()),
        environment: vec![("ZIMAGED_WARMUP".into(), "64x64".into())],
        ..Options::default()
    })
}

#[test]
fn killed_workers_and_daemons_leave_the_bits_as_they_are() {
    let state = tempfile::tempdir().unwrap();
    let first = daemon(None, state.path());
    let images = images(true);
    let attached = || Generate::new(params());
    let undisturbed = pixels(finish(submit(&first, attached(), &images)).unwrap());
    assert_eq!(undisturbed.len(), 2);
    // Workers that are killed after a step of the first image, and of the second.
    for killed_at in [(0, 4), (0, 5), (1, 4)] {
        let mut job = submit(&first, attached(), &images);
        let (mut found, mut killed) = (Vec::new(), false);
        for update in &mut job {
            match update.unwrap() {
                Update::Step(step) if !killed && (step.image, step.step) >= killed_at => {
                    let worker = first.status().workers[0].pid.unwrap();
                    kill(Pid::from_raw(worker.try_into().unwrap()), Signal::SIGKILL).unwrap();
                    killed = true;
                }
                Update::Image(image) => found.push(image),
                _ => {}
            }
        }
        assert!(killed && pixels(found) == undisturbed, "killed at {killed_at:?}");
    }
    // A daemon that is killed in each image of a detached job.
    let detached = Generate { detach: true, priority: Priority::Batch, ..attached() };
    let Some(Ok(Update::Accepted { job, .. })) = submit(&first, detached, &images).next() else {
        panic!("not accepted")
    };
    let mut running = first;
    for image in [0, 1] {
        let mut updates = running.client().wait(job).unwrap();
        updates.find(|update| {
            matches!(update, Ok(Update::Step(step)) if step.image >= image)
                || matches!(update, Ok(Update::Done(_)))
        });
        running.signal(Signal::SIGKILL);
        running.wait();
        running.is_gone();
        running = daemon(None, state.path());
    }
    let found = pixels(finish(running.client().wait(job).unwrap()).unwrap());
    assert!(found == undisturbed, "over the daemon's death");
    running.client().forget(job).unwrap();
    assert_eq!(std::fs::read_dir(state.path().join("pictures")).unwrap().count(), 0);
}

#[test]
fn memory_that_is_short_while_images_are_encoded_is_tried_again() {
    let state = tempfile::tempdir().unwrap();
    let faulty = faulty_starts(state.path(), "oom@images");
    let daemon = daemon(Some(&faulty), &state.path().join("state"));
    let images = images(true);
    let with_fault = pixels(finish(submit(&daemon, params().into(), &images)).unwrap());
    let without = pixels(finish(submit(&daemon, params().into(), &images)).unwrap());
    assert!(with_fault == without);
    assert_eq!(daemon.status().workers[0].restarts, 0);
}
