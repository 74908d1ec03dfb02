//! Initial images and masks through the whole way: from the client over the daemon to the mock worker,
//! whose images show that exactly the pixels that were sent arrived, whatever died in between.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::path::Path;

use nix::sys::signal::Signal;
use zimg_client::{
    Failure, Generate, Image, ImageRole, ImageUpload, Job, JobId, JobState, Kind, Params,
    PixelLayout, Priority, Update, UploadMethod,
};
use zimg_tests::mock::{colour, coloured};
use zimg_tests::{Daemon, Options, finish, wait_until};

const WIDTH: u32 = 96;
const HEIGHT: u32 = 64;
const SEED: u64 = 0x00a5_5a3c;

/// An initial image and a mask, of which no two bytes next to each other are the same.
struct Inputs {
    initial: Vec<u8>,
    mask: Option<Vec<u8>>,
}

impl Inputs {
    fn new(number: u8, with_mask: bool) -> Self {
        let pixels = WIDTH as usize * HEIGHT as usize;
        let bytes = |count: usize, factor: usize| -> Vec<u8> {
            (0..count).map(|i| (i * factor % 251) as u8 ^ number).collect()
        };
        Self { initial: bytes(3 * pixels, 7), mask: with_mask.then(|| bytes(pixels, 11)) }
    }

    fn uploads(&self) -> Vec<ImageUpload<'_>> {
        let upload = |role, layout, pixels| ImageUpload {
            role,
            layout,
            width: WIDTH,
            height: HEIGHT,
            pixels,
        };
        let initial = upload(ImageRole::Initial, PixelLayout::Rgb8, &self.initial);
        let mask = self.mask.as_deref();
        let mask = mask.map(|mask| upload(ImageRole::Mask, PixelLayout::L8, mask));
        [initial].into_iter().chain(mask).collect()
    }

    /// Submits a request for two images.
    fn submit(&self, daemon: &Daemon, request: Generate, method: UploadMethod) -> Job {
        daemon.client().generate_from(request, &self.uploads(), method).unwrap()
    }

    /// That these are the images that the mock makes of this.
    fn check(&self, images: &[Image]) {
        assert_eq!(images.len(), 2);
        for (index, image) in (0..).zip(images) {
            let info = &image.info;
            assert_eq!((info.seed, info.width, info.height), (SEED + index, WIDTH, HEIGHT));
            let expected = coloured(&self.initial, self.mask.as_deref(), colour(info.seed));
            assert!(image.pixels == expected, "image {index} is of other pixels");
        }
    }
}

fn request(priority: Priority, detach: bool) -> Generate {
    let params = Params {
        count: Some(2),
        seed: Some(SEED),
        steps: Some(4),
        strength: Some(0.5),
        ..Params::new("a fox")
    };
    Generate { priority, detach, ..Generate::new(params) }
}

fn attached() -> Generate {
    request(Priority::Interactive, false)
}

fn detached(daemon: &Daemon, inputs: &Inputs) -> Result<JobId, Failure> {
    let mut job = inputs.submit(daemon, request(Priority::Batch, true), UploadMethod::Memory);
    match job.next() {
        Some(Ok(Update::Accepted { job, .. })) => Ok(job),
        Some(Err(failure)) => Err(failure),
        other => panic!("not accepted but {other:?}"),
    }
}

fn stored_in(state: &Path, mock: &str) -> Daemon {
    let state = Some(state.to_owned());
    Daemon::with(Options { mock: mock.into(), state, ..Options::default() })
}

fn input_files(state: &Path) -> Vec<String> {
    let files = std::fs::read_dir(state.join("pictures")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".input")).collect()
}

#[test]
fn exactly_the_pixels_that_were_sent_arrive() {
    let daemon = Daemon::ready("");
    let capabilities = daemon.status().model().unwrap().capabilities.clone();
    assert!(capabilities.initial_image && capabilities.mask && !capabilities.control_image);
    for (number, with_mask, method) in [
        (1, false, UploadMethod::Memory),
        (2, true, UploadMethod::Memory),
        (3, false, UploadMethod::Inline),
        (4, true, UploadMethod::Inline),
    ] {
        let inputs = Inputs::new(number, with_mask);
        inputs.check(&finish(inputs.submit(&daemon, attached(), method)).unwrap());
    }
    // The next request has nothing of them.
    let plain = Params { seed: Some(SEED), ..Params::new("a fox") };
    let images = daemon.draw(&plain).unwrap();
    assert!(images[0].pixels.chunks(3).all(|pixel| pixel == colour(SEED)));
}

#[test]
fn the_largest_images_arrive_whole() {
    let daemon = Daemon::ready("");
    let side = 2048;
    let initial: Vec<u8> = (0..3 * side * side).map(|i| (i % 251) as u8).collect();
    let mask: Vec<u8> = (0..side * side).map(|i| (i % 241) as u8).collect();
    let size = u32::try_from(side).unwrap();
    let upload =
        |role, layout, pixels| ImageUpload { role, layout, width: size, height: size, pixels };
    let uploads = [
        upload(ImageRole::Initial, PixelLayout::Rgb8, &initial),
        upload(ImageRole::Mask, PixelLayout::L8, &mask),
    ];
    let params = Params { seed: Some(SEED), steps: Some(1), ..Params::new("a fox") };
    for method in [UploadMethod::Memory, UploadMethod::Inline] {
        let job = daemon.client().generate_from(params.clone(), &uploads, method).unwrap();
        let images = finish(job).unwrap();
        assert!(images[0].pixels == coloured(&initial, Some(&mask), colour(SEED)));
    }
}

#[test]
fn a_worker_that_dies_anywhere_is_followed_by_one_with_the_same_images() {
    for phase in ["begin", "latents:3", "step:4", "decode", "send", "done"] {
        let daemon = Daemon::start(&format!("kill@{phase};"));
        let inputs = Inputs::new(5, true);
        let images = finish(inputs.submit(&daemon, attached(), UploadMethod::Memory));
        inputs.check(&images.unwrap_or_else(|failure| panic!("{phase}: {failure}")));
        let job = detached(&daemon, &inputs).unwrap();
        inputs.check(&finish(daemon.client().wait(job).unwrap()).unwrap());
        daemon.end();
    }
}

#[test]
fn a_detached_job_loses_its_worker_and_goes_on() {
    for phase in ["begin", "step:4", "send"] {
        let daemon = Daemon::start(&format!("kill@{phase};kill@{phase};"));
        let inputs = Inputs::new(6, true);
        let job = detached(&daemon, &inputs).unwrap();
        inputs.check(&finish(daemon.client().wait(job).unwrap()).unwrap());
        assert_eq!(daemon.workers().len(), 3, "{phase}");
    }
}

#[test]
fn a_preempted_job_goes_on_with_its_images() {
    for detach in [false, true] {
        let daemon = Daemon::ready("hold@step:3");
        let inputs = Inputs::new(7, true);
        let request = request(Priority::Batch, detach);
        let mut job = inputs.submit(&daemon, request, UploadMethod::Memory);
        let Some(Ok(Update::Accepted { job: id, .. })) = job.next() else { panic!("not accepted") };
        assert_eq!(daemon.held(), "step:3");
        // The mock pauses where it holds; the gate is open for what follows.
        let other = Inputs::new(8, false);
        let mut first = other.submit(&daemon, attached(), UploadMethod::Inline);
        assert!(matches!(first.next(), Some(Ok(Update::Accepted { .. }))));
        wait_until("the batch job is preempted", || {
            daemon.client().overview().unwrap().counters.preempted == 1
        });
        daemon.open_gate();
        other.check(&finish(first).unwrap());
        let job = if detach { daemon.client().wait(id).unwrap() } else { job };
        inputs.check(&finish(job).unwrap());
        assert_eq!(daemon.workers().len(), 1);
    }
}

#[test]
fn detached_jobs_keep_their_images_over_the_daemons_death_and_leave_none() {
    let state = tempfile::tempdir().unwrap();
    let inputs: Vec<_> = (0..3).map(|number| Inputs::new(number, number != 1)).collect();
    let daemon = stored_in(state.path(), "hold@step:3");
    let jobs: Vec<_> = inputs.iter().map(|inputs| detached(&daemon, inputs).unwrap()).collect();
    // On the disk before they are accepted.
    assert_eq!(input_files(state.path()).len(), 5);
    assert_eq!(daemon.held(), "step:3");
    let mut daemon = daemon;
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    daemon.is_gone();
    drop(daemon);
    // The first image of the first job is stored, and the daemon dies in the second.
    let daemon = stored_in(state.path(), "hold@step:3");
    daemon.held();
    daemon.open_gate();
    wait_until("an image is stored", || {
        daemon.client().jobs().unwrap().iter().any(|job| job.generated > 0)
    });
    let mut daemon = daemon;
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    daemon.is_gone();
    drop(daemon);
    std::fs::write(state.path().join("pictures/999-0.input"), "of no job").unwrap();
    let mut daemon = stored_in(state.path(), "slow:1");
    assert_eq!(input_files(state.path()).len(), 5, "what belongs to no job is removed");
    // And an orderly end in between.
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    drop(daemon);
    let daemon = stored_in(state.path(), "");
    for (job, inputs) in jobs.iter().zip(&inputs) {
        inputs.check(&finish(daemon.client().wait(*job).unwrap()).unwrap());
    }
    assert_eq!(input_files(state.path()).len(), 5, "a damaged image can be generated again");
    let first_image = state.path().join(format!("pictures/{}-0.rgb", jobs[0]));
    std::fs::write(first_image, "damaged").unwrap();
    inputs[0].check(&finish(daemon.client().wait(jobs[0]).unwrap()).unwrap());
    daemon.client().forget(jobs[0]).unwrap();
    daemon.client().cancel(jobs[1]).unwrap();
    daemon.client().forget(jobs[2]).unwrap();
    assert_eq!(std::fs::read_dir(state.path().join("pictures")).unwrap().count(), 0);
}

#[test]
fn a_detached_job_whose_images_are_damaged_fails_and_others_go_on() {
    let state = tempfile::tempdir().unwrap();
    let daemon = stored_in(state.path(), "hold@begin");
    let inputs = Inputs::new(9, true);
    let jobs: Vec<_> = (0..3).map(|_| detached(&daemon, &inputs).unwrap()).collect();
    drop(daemon);
    let mask = state.path().join(format!("pictures/{}-1.input", jobs[0]));
    let mut bytes = std::fs::read(&mask).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&mask, bytes).unwrap();
    let initial = state.path().join(format!("pictures/{}-0.input", jobs[1]));
    std::fs::remove_file(initial).unwrap();
    let daemon = stored_in(state.path(), "");
    inputs.check(&finish(daemon.client().wait(jobs[2]).unwrap()).unwrap());
    for (job, damage) in [
        (jobs[0], format!("image input 1 of job {} has changed", jobs[0])),
        (jobs[1], format!("image input 0 of job {} is missing", jobs[1])),
    ] {
        let failure = finish(daemon.client().wait(job).unwrap()).unwrap_err();
        assert_eq!(failure.kind, Kind::Io);
        assert_eq!(failure.message, format!("job {job} cannot begin: {damage}"));
        let listed = daemon.client().jobs().unwrap();
        let info = listed.iter().find(|info| info.job == job).unwrap();
        assert!(matches!(info.state, JobState::Failed(_)), "{info:?}");
    }
}

#[test]
fn images_count_against_the_quota_of_detached_jobs() {
    let environment = vec![("ZIMAGED_RETENTION_BYTES_PER_USER".into(), "1M".into())];
    let daemon = Daemon::with(Options { environment, ..Options::default() });
    let pixels = vec![7; 3 * 336 * 336];
    let ask = |with_mask: bool| {
        let upload =
            |role, layout, pixels| ImageUpload { role, layout, width: 336, height: 336, pixels };
        let uploads = [
            upload(ImageRole::Initial, PixelLayout::Rgb8, &pixels[..]),
            upload(ImageRole::Mask, PixelLayout::L8, &pixels[..336 * 336]),
        ];
        let uploads = &uploads[..if with_mask { 2 } else { 1 }];
        let request = request(Priority::Batch, true);
        let job = daemon.client().generate_from(request, uploads, UploadMethod::Memory);
        job.unwrap().next().unwrap()
    };
    // In KiB: two images of 331, an initial image of 331, a mask of 110, and 8 besides.
    let failure = ask(true).unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    assert_eq!(failure.message, "your detached jobs would take 2 MiB, and your quota is 1 MiB");
    assert!(matches!(ask(false), Ok(Update::Accepted { .. })));
}
