//! From a prompt to files, against a scripted daemon.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::fake::{Fake, pixels, requested, zimg};
use zimg_protocol::messages::{Event, Generate, Params, Priority, Request, Waiting, WorkerState};

#[test]
fn an_image_is_where_it_was_asked_for() {
    let ran = Fake::honest().run(&["a fox", "-o", "fox.png", "--seed", "7", "--size", "80x64"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.files, ["fox.png"]);
    ran.assert_image("fox.png", 7, 80, 64);
    assert_eq!(ran.text(), "");
    let (first, last) = ran.stderr.split_once('\n').unwrap();
    assert_eq!(first, "generating 80x64 in 2 steps with fake");
    assert!(last.starts_with("fox.png: 80x64, seed 7, ") && last.ends_with(" s\n"), "{last}");
}

#[test]
fn one_step_is_no_plural() {
    let ran = Fake::honest().run(&["a fox", "-o", "fox.png", "--steps", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains(" in 1 step with fake\n"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("1 steps"), "{}", ran.stderr);
}

#[test]
fn every_option_reaches_the_daemon() {
    let expected = Params {
        negative: Some("a dog".to_owned()),
        width: Some(128),
        height: Some(64),
        steps: Some(3),
        guidance: Some(4.5),
        guidance_normalization: Some(1.0),
        guidance_truncation: Some(0.75),
        seed: Some(9),
        ..Params::new("a fox")
    };
    let fake = Fake::new(move |peer, request| {
        let priority = Priority::Interactive;
        let draw = expected.clone();
        let submit = Generate {
            params: draw,
            priority,
            detach: false,
            previews: false,
            ..Generate::default()
        };
        assert_eq!(request, Request::Generate(submit));
        peer.generates(&expected);
    });
    let mut words: Vec<_> = "draw --size=128x64 --steps=3 --guidance=4.5 --seed=9 -o a.png \
        --guidance-normalization=1 --guidance-truncation=0.75"
        .split_whitespace()
        .collect();
    words.extend(["--negative", "a dog", "a fox"]);
    let ran = fake.run(&words);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn what_is_not_given_is_the_models_own_and_the_seed_is_short() {
    let fake = Fake::new(|peer, request| {
        let draw = requested(request);
        assert!(draw.first_seed() < 1 << 32);
        assert_eq!(draw, Params { seed: Some(draw.first_seed()), ..Params::new("a fox") });
        peer.generates(&draw);
    });
    let ran = fake.run(&["a fox"]);
    let name = ran.text().strip_suffix('\n').unwrap();
    assert_eq!(ran.files, [name], "standard output has the name that the user did not choose");
    let seed = name.strip_prefix("zimg-").unwrap().strip_suffix(".png").unwrap();
    assert!(ran.stderr.contains(&format!("\n64x64, seed {seed}, ")), "{}", ran.stderr);
    ran.assert_image(name, seed.parse().unwrap(), 64, 64);
}

#[test]
fn several_images_have_names_and_seeds_of_their_own() {
    let ran = Fake::honest().run(&["a fox", "-n", "3", "--seed", "7", "-o", "fox.png"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.files, ["fox-1.png", "fox-2.png", "fox-3.png"]);
    (0..3).for_each(|i| ran.assert_image(&ran.files[i], 7 + i as u64, 64, 64));

    let ran = Fake::honest().run(&["a fox", "-n2", "--seed=7", "-o", "{index:03}-{seed}.webp"]);
    assert_eq!(ran.files, ["001-7.webp", "002-8.webp"]);
    (0..2).for_each(|i| ran.assert_image(&ran.files[i], 7 + i as u64, 64, 64));
}

#[test]
fn standard_output_takes_an_image() {
    let ran = Fake::honest().run(&["a fox", "-o", "-", "--seed", "7", "-q"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let read = image::load_from_memory(&ran.stdout).unwrap().into_rgb8();
    assert!(read.into_raw() == pixels(7, 64, 64));
    assert!(ran.files.is_empty());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let fake = Fake::honest();
    let mut child = fake.zimg(&["a fox", "-o", "-", "--size", "1024x1024", "-q"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    // Its daemon may find the connection closed before it is done; that is its own affair.
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn the_prompt_may_come_from_standard_input() {
    let fake = Fake::new(|peer, request| {
        let draw = requested(request);
        assert_eq!(draw.prompt, "a fox\nin the snow ❄");
        peer.generates(&draw);
    });
    let mut zimg = fake.zimg(&["-", "-o", "a.png"]);
    let mut child = zimg.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("a fox\nin the snow ❄\n".as_bytes()).unwrap();
    let ran = fake.finish(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.files.len()), (Some(0), 1), "{}", ran.stderr);
}

#[test]
fn quiet_is_silent() {
    let ran = Fake::honest().run(&["a fox", "-o", "a.png", "-q"]);
    assert_eq!((ran.code, ran.text(), &*ran.stderr), (Some(0), "", ""));
}

#[test]
fn a_log_gets_lines_and_no_control_characters() {
    let fake = Fake::new(|peer, request| {
        let loading =
            |done| Event::Waiting(Waiting::Worker(WorkerState::Loading { done, total: 2_000_000 }));
        peer.say(loading(0));
        peer.say(loading(1_000_000));
        peer.generates(&requested(request));
    });
    let ran = fake.run(&["a fox", "-o", "a.jpg", "--seed", "7", "--negative", "a dog"]);
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "the negative prompt has no effect while the guidance is 0",
            "waiting: loading the model (2 MB)",
            "generating 64x64 in 2 steps with fake",
        ]
    );
    assert!(lines.len() == 4 && !ran.stderr.contains(['\r', '\x1b']), "{}", ran.stderr);
}

#[test]
fn a_file_that_exists_is_kept_unless_forced() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.png"), "mine").unwrap();
    // No daemon runs: it is refused before one is looked for.
    let output = zimg(directory.path()).args(["a fox", "-o", "a.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(73));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("zimg: a.png exists already\nhint: --force replaces it"), "{text}");
    assert_eq!(fs::read(directory.path().join("a.png")).unwrap(), b"mine");

    let fake = Fake::honest();
    fs::write(fake.out().join("a.png"), "mine").unwrap();
    let ran = fake.run(&["a fox", "-o", "a.png", "--force", "--seed", "3"]);
    assert_eq!(ran.files, ["a.png"]);
    ran.assert_image("a.png", 3, 64, 64);
}

#[test]
fn a_file_that_comes_to_exist_meanwhile_is_kept() {
    let (send, receive) = std::sync::mpsc::channel();
    let fake = Fake::new(move |peer, request| {
        let path: std::path::PathBuf = receive.recv().unwrap();
        fs::write(path, "mine").unwrap();
        let draw = requested(request);
        let started = peer.starts(&draw);
        peer.image(&draw, 0, &started);
    });
    send.send(fake.out().join("a.png")).unwrap();
    let ran = fake.run(&["a fox", "-o", "a.png"]);
    assert_eq!(ran.code, Some(73));
    assert_eq!(fs::read(ran.path("a.png")).unwrap(), b"mine");
    assert_eq!(ran.files, ["a.png", "state"], "no temporary file, and the image is rescued");
}
