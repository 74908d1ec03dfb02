//! `--hires` through the whole way with the built-in model: two passes of one job, with progress, previews,
//! resume points, metadata and `redo`.

use std::fs;

use zimage_ipc::{Command, Report};
use zimg_client::{Kind, Params};
use zimg_protocol::messages::{ImageInput, ImageRole, ImageSource};
use zimg_tests::{Daemon, Options, Worker, built_worker};

fn params() -> Params {
    Params {
        width: Some(128),
        height: Some(192),
        steps: Some(4),
        seed: Some(5),
        hires: Some(2.0),
        ..Params::new("a red circle")
    }
}

fn daemon() -> Daemon {
    let warmup = ("ZIMAGED_WARMUP".to_owned(), "64x64".to_owned());
    Daemon::with(Options {
        worker: Some(built_worker()),
        environment: vec![warmup],
        ..Options::default()
    })
}

#[test]
fn a_job_with_a_second_pass_goes_on_from_any_of_its_points_to_the_same_images() {
    let mut first = Worker::start();
    let mut second = Worker::start();
    let job = Params { count: Some(2), hires_strength: Some(0.75), ..params() };
    let whole = first.draw(1, &job, None);
    assert!(matches!(whole.end, Some(Report::Done { .. })), "{:?}", whole.end);
    assert_eq!(
        whole.images.iter().map(|(_, pixels)| pixels.len()).collect::<Vec<_>>(),
        [3 * 128 * 192, 3 * 128 * 192]
    );
    // Four steps, and three of the second pass; a pass's last step has no point.
    let steps: Vec<_> = (0..2).flat_map(|image| (1..=7).map(move |step| (image, step))).collect();
    assert_eq!(whole.steps, steps);
    let points: Vec<_> = whole.points.iter().map(|of| (of.point.image, of.point.step)).collect();
    let of_images = (0..2).flat_map(|image| [1, 2, 3, 5, 6].map(|step| (image, step)));
    let mut expected: Vec<_> = of_images.collect();
    expected.insert(5, (1, 0));
    assert_eq!(points, expected);
    for snapshot in &whole.points {
        let bytes = if snapshot.point.step > 4 { 16 * 16 * 24 * 4 } else { 16 * 8 * 12 * 4 };
        let expected = if snapshot.point.step == 0 { 0 } else { bytes };
        assert_eq!(snapshot.latents.len(), expected, "{:?}", snapshot.point);
        let rest = second.draw(2, &job, Some(snapshot));
        assert!(
            rest.images == whole.images[snapshot.point.image as usize..],
            "{:?}",
            snapshot.point
        );
    }
    // Another strength is another image, and one pass another still.
    let other = first.draw(3, &params(), None);
    let plain = first.draw(4, &Params { hires: None, ..params() }, None);
    assert_ne!(other.images[0], whole.images[0]);
    assert_ne!(plain.images[0], other.images[0]);
    assert_eq!(first.draw(5, &Params { hires: Some(1.0), ..params() }, None).images, plain.images);
}

#[test]
fn a_job_is_paused_in_both_passes_and_goes_on() {
    let mut worker = Worker::start();
    let job = Params { steps: Some(30), ..params() };
    let whole = worker.draw(1, &job, None);
    for pause_at in [3, 30, 33] {
        worker.submit(2, &job, true, None);
        let begun = worker.follow(2, |worker, report| {
            if matches!(report, Report::Step { step, .. } if step.step == pause_at) {
                worker.send(Command::Pause { job: 2 });
            }
        });
        assert!(matches!(begun.end, Some(Report::Paused { job: 2 })), "{:?}", begun.end);
        let snapshot = begun.points.last().unwrap();
        let rest = worker.draw(2, &job, Some(snapshot));
        assert!(rest.images == whole.images, "from {:?}", snapshot.point);
    }
}

#[test]
fn an_image_is_recorded_and_drawn_again() {
    let daemon = daemon();
    let zimg = |words: &[&str]| {
        let output = daemon.zimg(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let pixels = |name: &str| fs::read(daemon.folder().join(name)).unwrap();
    let common = ["a red circle", "-s128x192", "--steps=4", "--seed=5", "--hires=2x"];
    zimg(&[&common[..], &["-o", "a.ppm"]].concat());
    assert!(pixels("a.ppm").starts_with(b"P6\n128 192\n"));
    zimg(&[&common[..], &["-n2", "--preview=none", "-o", "{seed}.png"]].concat());
    let shown = zimg(&["show", "--parameters", "5.png"]);
    assert!(shown.contains("Size: 128x192") && shown.contains("Hires upscale: 2"), "{shown}");
    zimg(&["redo", "5.png", "-o", "b.ppm"]);
    assert!(pixels("b.ppm") == pixels("a.ppm"));
    let said = zimg(&[&common[..], &["--detach"]].concat());
    zimg(&["wait", said.lines().next().unwrap(), "-o", "c.ppm"]);
    assert!(pixels("c.ppm") == pixels("a.ppm"));
    let line = r#"{"prompt":"a red circle","size":"128x192","steps":4,"seed":5,"hires":2,"output":"d.ppm"}"#;
    fs::write(daemon.folder().join("prompts.jsonl"), line).unwrap();
    zimg(&["--batch", "prompts.jsonl"]);
    assert!(pixels("d.ppm") == pixels("a.ppm"));
    daemon.end();
}

#[test]
fn what_has_no_second_pass_is_refused_and_sizes_grow_by_default() {
    let daemon = daemon();
    let model = daemon.client().status().unwrap().model().cloned();
    let usual = Params { width: None, height: None, steps: Some(1), hires: Some(1.5), ..params() };
    let image = daemon.draw(&usual).unwrap().remove(0);
    if let Some(model) = model {
        assert_eq!(
            (image.info.width, image.info.height),
            (model.width * 3 / 2, model.height * 3 / 2)
        );
    }
    for (params, part) in [
        (Params { hires: Some(4.0), ..params() }, "would begin at 32x48"),
        (Params { hires: Some(0.5), ..params() }, "expected a factor from 1 to 4"),
        (Params { hires: Some(5.0), ..params() }, "expected a factor from 1 to 4"),
    ] {
        let failure = daemon.draw(&params).unwrap_err();
        assert_eq!(failure.kind, Kind::Refused, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
    }
    let (role, source) = (ImageRole::Initial, ImageSource::Inline);
    let initial = ImageInput { role, layout: role.layout(), width: 128, height: 192, source };
    let request = zimg_protocol::messages::Generate { images: vec![initial], ..params().into() };
    let failure = request.check_images().unwrap_err();
    assert!(failure.message.contains("`hires` is 2 and the request has images"), "{failure}");
    daemon.end();
}
