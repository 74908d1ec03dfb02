//! Generation metadata in files: `show` and `redo`.

use std::fs;
use std::path::Path;

use zimg_protocol::messages::{Params, Request};

use crate::fake::{Fake, drawing, pixels, zimg};

/// An image drawn by the fake daemon with these options, as bytes of a file called `name`.
fn drawn(name: &str, options: &[&str]) -> Vec<u8> {
    let words = [&["a red fox,\nin the \"snow\" ❄", "-o", name, "--seed=7"], options].concat();
    let ran = Fake::honest().run(&words);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    fs::read(ran.path(name)).unwrap()
}

/// zimg without a daemon, in a folder with this one file.
fn asked(name: &str, bytes: &[u8], words: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    let output = zimg(folder.path()).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_format_says_how_it_was_made() {
    for name in ["a.png", "a.jpg", "a.webp"] {
        let bytes = drawn(name, &["--negative", "a dog", "--guidance=1.5"]);
        let (code, text, _) = asked(name, &bytes, &["show", name]);
        assert_eq!(code, Some(0));
        assert_eq!(
            text,
            format!(
                "prompt    a red fox,\n          in the \"snow\" ❄\nnegative  a dog\nseed      7\n\
                 size      64x64\nsteps     2\nguidance  1.5\nmodel     fake, float32, cpu\n\
                 program   zimg {}\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        let (_, text, _) = asked(name, &bytes, &["show", "--parameters", name]);
        assert_eq!(
            text,
            format!(
                "a red fox,\nin the \"snow\" ❄\nNegative prompt: a dog\nSteps: 2, Sampler: Euler, \
                 CFG scale: 1.5, Seed: 7, Size: 64x64, Model: fake, Version: zimg {}\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        let (_, line, _) = asked(name, &bytes, &["show", "--json", name]);
        let start = format!(
            r#"{{"v":1,"event":"metadata","path":"{name}","prompt":"a red fox,\nin the \"snow\" ❄","negative":"a dog","#
        );
        assert!(line.starts_with(&start), "{line}");
    }
}

#[test]
fn no_metadata_is_written_when_requested() {
    for name in ["a.png", "a.jpg", "a.webp"] {
        let bytes = drawn(name, &["--no-metadata"]);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("fox") && !text.contains("zimg"), "{name}");
        let (code, out, err) = asked(name, &bytes, &["show", name]);
        assert_eq!((code, &*out), (Some(65), ""));
        assert!(err.starts_with(&format!("zimg: {name} has no generation metadata\n")), "{err}");
    }
}

#[test]
fn a_file_that_is_no_image_is_one_sentence() {
    let (code, out, err) = asked("a.png", b"no image", &["show", "a.png"]);
    assert_eq!((code, &*out), (Some(65), ""));
    assert_eq!(err, "zimg: a.png is not a PNG, JPEG or WebP file\n");
    let (code, _, err) = asked("a.png", b"", &["redo", "b.png"]);
    assert_eq!(code, Some(74));
    assert!(err.starts_with("zimg: cannot read b.png: "), "{err}");
}

/// What the daemon is asked when this image is drawn again with these words.
fn redone(bytes: &[u8], words: &[&str]) -> (Params, Vec<String>, String) {
    let (send, receive) = std::sync::mpsc::channel();
    let fake = Fake::new(move |peer, request: Request| {
        let draw = drawing(request);
        peer.draws(&draw);
        send.send(draw).unwrap();
    });
    fs::write(fake.out().join("fox.png"), bytes).unwrap();
    let ran = fake.run(&[&["redo", "fox.png"], words].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (receive.recv().unwrap(), ran.files.clone(), ran.text().to_owned())
}

#[test]
fn it_is_drawn_again_as_it_was() {
    let options = ["--guidance=1.5", "--negative=x", "--size=80x64", "--steps=3"];
    let more = ["--guidance-normalization=0.5", "--guidance-truncation=0.25", "-n2"];
    let words = [&options[..], &more].concat();
    let ran = Fake::honest().run(&[&["a fox", "-o", "f.png", "--seed=7"], &words[..]].concat());
    let second = fs::read(ran.path("f-2.png")).unwrap();
    let (draw, files, out) = redone(&second, &[]);
    let same = Params {
        negative: Some("x".to_owned()),
        width: Some(80),
        height: Some(64),
        steps: Some(3),
        guidance: Some(1.5),
        guidance_normalization: Some(0.5),
        guidance_truncation: Some(0.25),
        seed: Some(8),
        ..Params::new("a fox")
    };
    assert_eq!(draw, same);
    assert_eq!(files, ["fox-redo.png", "fox.png"]);
    assert_eq!(out, "fox-redo.png\n");
    let changes = ["--seed=1", "--prompt=a hen", "--size=64x64", "-o", "b.jpg"];
    let (draw, files, out) = redone(&second, &changes);
    let changed = Params { seed: Some(1), prompt: "a hen".to_owned(), width: Some(64), ..same };
    assert_eq!(draw, changed);
    assert_eq!((files, &*out), (vec!["b.jpg".to_owned(), "fox.png".to_owned()], ""));
}

#[test]
fn what_other_programs_wrote_is_drawn_again() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    let text = "a castle\nSteps: 9, Sampler: euler, CFG scale: 1, Seed: 42, Size: 64x80";
    encoder.add_text_chunk("parameters".to_owned(), text.to_owned()).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0; 3]).unwrap();
    writer.finish().unwrap();
    let (draw, ..) = redone(&bytes, &[]);
    let read = Params {
        width: Some(64),
        height: Some(80),
        steps: Some(9),
        guidance: Some(0.0),
        seed: Some(42),
        ..Params::new("a castle")
    };
    assert_eq!(draw, read);
}

#[test]
fn another_model_is_told() {
    let bytes = drawn("a.png", &[]);
    let mut other = crate::fake::overview();
    other.status.workers[0].model.as_mut().unwrap().name = "other".to_owned();
    let fake = Fake::being(other, |peer, request| peer.draws(&drawing(request)));
    fs::write(fake.out().join("a.png"), bytes).unwrap();
    let ran = fake.run(&["redo", "a.png"]);
    let told = "the image was generated by fake; other will generate another image\n";
    assert!(ran.stderr.starts_with(told), "{}", ran.stderr);
}

#[test]
fn settings_do_not_change_an_image_that_is_drawn_again() {
    let bytes = drawn("a.png", &[]);
    let fake = Fake::new(|peer, request| {
        let draw = drawing(request);
        assert_eq!((draw.steps, draw.negative.as_deref()), (Some(2), None));
        peer.draws(&draw);
    });
    fs::write(fake.out().join("a.png"), bytes).unwrap();
    let mut zimg = fake.zimg(&["redo", "a.png"]);
    zimg.env("ZIMG_STEPS", "9").env("ZIMG_NEGATIVE", "x").env("ZIMG_OUTPUT", "z.png");
    let ran = fake.finish(zimg.output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.files, ["a-redo.png", "a.png"]);
}

#[test]
fn an_image_is_whole_with_and_without_what_it_says() {
    for (name, options) in [("a.png", &[][..]), ("b.png", &["--no-metadata"])] {
        let bytes = drawn(name, options);
        let read = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert!(read.into_raw() == pixels(7, 64, 64));
        assert!(Path::new(name).extension().is_some());
    }
}
