//! Sizes, names, formats and contact sheets.

use crate::fake::{Fake, pixels, requested, zimg};

/// The size that the daemon is asked for.
fn asked(words: &[&str]) -> (Option<u32>, Option<u32>) {
    let (send, receive) = std::sync::mpsc::channel();
    let fake = Fake::new(move |peer, request| {
        let draw = requested(request);
        peer.generates(&draw);
        send.send((draw.width, draw.height)).unwrap();
    });
    let ran = fake.run(&[&["a fox", "-q", "-o", "a.ppm"], words].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    receive.recv().unwrap()
}

#[test]
fn a_size_may_be_a_shape_or_be_rounded() {
    assert_eq!(asked(&["--size=100x64", "--round"]), (Some(96), Some(64)));
    assert_eq!(asked(&["--megapixels=0.25"]), (Some(512), Some(512)));
    assert_eq!(asked(&["--aspect=16:9", "--megapixels=1"]), (Some(1280), Some(720)));
    // The fake model likes 64x64.
    assert_eq!(asked(&["--aspect=1:1"]), (Some(64), Some(64)));
    assert_eq!(asked(&["-a", "4:1"]), (Some(256), Some(64)));
}

#[test]
fn a_shape_waits_for_a_model_that_loads() {
    use zimg_protocol::messages::{Event, Request, WorkerState};
    let mut loading = crate::fake::overview();
    let loaded = loading.status.clone();
    loading.status.workers[0].model = None;
    loading.status.workers[0].state = WorkerState::Loading { done: 1, total: 2 };
    let still = loading.status.clone();
    let fake = Fake::being(loading, move |peer, request| {
        assert_eq!(request, Request::Status);
        peer.say(Event::Status(Box::new(still)));
        assert_eq!(peer.request(), Some(Request::Status));
        peer.say(Event::Status(Box::new(loaded)));
        let draw = requested(peer.request().unwrap());
        assert_eq!((draw.width, draw.height), (Some(256), Some(64)));
        peer.generates(&draw);
    });
    let ran = fake.run(&["a fox", "--aspect", "4:1", "-o", "a.png"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("waiting: loading the model (2 B)\n"), "{}", ran.stderr);
}

#[test]
fn formats_for_pipes() {
    let of = |format: &str| {
        let words = ["a fox", "-o", "-", "--seed=7", "-q", "--format", format];
        let ran = Fake::honest().run(&words);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    assert!(of("raw") == pixels(7, 64, 64));
    assert!(of("ppm")[13..] == pixels(7, 64, 64));
    assert!(of("png").starts_with(b"\x89PNG"));
    assert!(of("jpeg").starts_with(b"\xff\xd8\xff"));
    assert!(of("webp").starts_with(b"RIFF"));
}

#[test]
fn a_quality_wants_a_format_that_has_one() {
    let directory = tempfile::tempdir().unwrap();
    for name in [&["-o", "a.png"][..], &[], &["-o", "-", "--format=ppm"], &["--grid=all.png"]] {
        let output =
            zimg(directory.path()).args(["a fox", "--quality=80"]).args(name).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{name:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("zimg: --quality applies to JPEG and WebP, "), "{text}");
    }
    let ran = Fake::honest().run(&["a fox", "--quality=80", "-o", "a.jpg"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_pipe_takes_several_that_can_be_told_apart() {
    let words = ["a fox", "-o", "-", "--seed=7", "-q", "-n3", "--format=ppm"];
    let ran = Fake::honest().run(&words);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let one = |seed| [b"P6\n64 64\n255\n".as_slice(), &pixels(seed, 64, 64)].concat();
    assert!(ran.stdout == [one(7), one(8), one(9)].concat());
}

#[test]
fn the_default_name_has_the_formats_extension() {
    let ran = Fake::honest().run(&["a fox", "--format=webp", "--seed=7", "-n2"]);
    assert_eq!(ran.files, ["zimg-7.webp", "zimg-8.webp"]);
    let folder = tempfile::tempdir().unwrap();
    let words = ["a fox", "-o", "a.png", "--format=jpg"];
    let output = zimg(folder.path()).args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("zimg: -o a.png is png, but --format is jpg\n"), "{text}");
}

#[test]
fn names_may_have_the_prompt_and_the_day() {
    let ran = Fake::honest().run(&["A fox/hen ❄", "-o", "{prompt}_{date}.png"]);
    let [name] = &ran.files[..] else { panic!("{:?}", ran.files) };
    let day = name.strip_prefix("A-fox-hen_").unwrap().strip_suffix(".png").unwrap();
    assert!(day.len() == 10 && day.chars().all(|c| c.is_ascii_digit() || c == '-'), "{day}");
}

#[test]
fn a_sheet_has_all_images() {
    let ran = Fake::honest().run(&["a fox", "-n4", "--seed=7", "-o", "a.png", "--grid"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.files, ["a-1.png", "a-2.png", "a-3.png", "a-4.png", "a-grid.png"]);
    assert!(ran.stderr.ends_with("a-grid.png: 136x136, all 4 images\n"), "{}", ran.stderr);
    let sheet = image::open(ran.path("a-grid.png")).unwrap().into_rgb8();
    for (index, seed) in (7..11).enumerate() {
        let (left, top) = (72 * (index as u32 % 2), 72 * (index as u32 / 2));
        let place = image::imageops::crop_imm(&sheet, left, top, 64, 64).to_image();
        assert!(place.into_raw() == pixels(seed, 64, 64), "image {seed}");
    }
}

#[test]
fn a_pipe_takes_the_sheet_alone() {
    let ran = Fake::honest().run(&["a fox", "-n2", "--grid", "-o", "-", "-q"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let sheet = image::load_from_memory(&ran.stdout).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (64, 136));
    assert!(ran.files.is_empty());
}
