//! Batches: several jobs at a time, failures, and continuing where a batch stopped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_protocol::messages::{Busy, Event, Generate, Priority, Request};
use zimg_protocol::{Failure, Kind};

use crate::fake::{Fake, Peer, pixels};

/// A daemon that generates whatever any client asks for, and remembers it; prompts with "bad" are
/// refused.
fn daemon(asked: &Arc<Mutex<Vec<Generate>>>) -> Fake {
    let asked = Arc::clone(asked);
    Fake::many(move |peer, request| {
        let submit = submitted(request);
        if submit.params.prompt.contains("bad") {
            peer.say(Event::Failed(Failure::new(Kind::Refused, "it is bad")));
        } else {
            peer.generates(&submit.params);
        }
        asked.lock().unwrap().push(submit);
    })
}

fn submitted(request: Request) -> Generate {
    match request {
        Request::Generate(submit) => submit,
        other => panic!("{other:?}"),
    }
}

/// The prompts and seeds that were asked for, in order of the seed.
fn prompts(asked: &Mutex<Vec<Generate>>) -> Vec<(String, u64)> {
    let mut asked: Vec<_> = asked
        .lock()
        .unwrap()
        .drain(..)
        .map(|submit| (submit.params.prompt.clone(), submit.params.first_seed()))
        .collect();
    asked.sort_by_key(|(_, seed)| *seed);
    asked
}

#[test]
fn a_list_of_prompts_becomes_numbered_images_at_low_priority() {
    let asked = Arc::default();
    let fake = daemon(&asked);
    fs::write(fake.out().join("list.txt"), "a fox\n\na hen\r\na dog").unwrap();
    let ran = fake.run(&["--batch", "list.txt", "--seed=7", "-o", "p/{index:03}.png"]);
    assert_eq!(ran.code, Some(73), "there is no folder");
    let asked = Arc::default();
    let fake = daemon(&asked);
    fs::write(fake.out().join("list.txt"), "a fox\n\na hen\r\na dog").unwrap();
    let ran = fake.run(&["--batch", "list.txt", "--seed=7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.files, ["0001.png", "0002.png", "0003.png", "list.txt"]);
    (7..10).for_each(|seed| ran.assert_image(&format!("{:04}.png", seed - 6), seed, 64, 64));
    let names: BTreeSet<_> = ran.text().lines().collect();
    assert_eq!(names, BTreeSet::from(["0001.png", "0002.png", "0003.png"]));
    assert!(asked.lock().unwrap().iter().all(|submit| submit.priority == Priority::Batch));
    let expected = [("a fox", 7), ("a hen", 8), ("a dog", 9)];
    assert_eq!(prompts(&asked), expected.map(|(prompt, seed)| (prompt.to_owned(), seed)));
    let last = ran.stderr.lines().last().unwrap();
    let start = "3 images: 3 generated, 0 exist already, 0 failed, ";
    assert!(last.starts_with(start), "{}", ran.stderr);
}

#[test]
fn lines_of_json_have_options_of_their_own() {
    let asked = Arc::default();
    let fake = daemon(&asked);
    let jobs = r#"{"prompt":"a fox","seed":3,"size":"80x64","output":"fox.webp"}
{"prompt":"a hen","count":2,"seed":5,"steps":1}"#;
    fs::write(fake.out().join("jobs.jsonl"), jobs).unwrap();
    let ran = fake.run(&["--batch=jobs.jsonl", "--steps=4", "-o", "{index}-{seed}.png"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.files, ["2-5.png", "3-6.png", "fox.webp", "jobs.jsonl"]);
    ran.assert_image("fox.webp", 3, 80, 64);
    let steps: Vec<_> = {
        let mut asked = asked.lock().unwrap();
        asked.sort_by_key(|submit| submit.params.first_seed());
        asked.iter().map(|submit| submit.params.steps).collect()
    };
    assert_eq!(steps, [Some(4), Some(1), Some(1)]);
}

#[test]
fn it_goes_on_after_failures_and_ends_with_the_worst() {
    let asked = Arc::default();
    let fake = daemon(&asked);
    let lines = "a fox\na bad one\n{\"prompt\":\"x\",\"sise\":\"1x1\"}\n{\"prompt\":\"y\",\"size\":\"65x64\"}\na hen\n";
    fs::write(fake.out().join("l"), lines).unwrap();
    fs::write(fake.out().join("0005.png"), "mine").unwrap();
    let ran = fake.run(&["--batch", "l", "--seed", "7"]);
    assert_eq!(ran.code, Some(73), "{}", ran.stderr);
    assert_eq!(ran.files, ["0001.png", "0005.png", "l"]);
    assert_eq!(fs::read(ran.path("0005.png")).unwrap(), b"mine");
    for said in [
        "l, line 2: it is bad\n",
        "l, line 3: `sise`: there is no such setting, but `size`\n",
        "l, line 4: the size is 65x64, expected ",
        "l, line 5: 0005.png exists already and is not an image (--force replaces it, ",
        "5 images: 1 generated, 0 exist already, 4 failed, ",
        "zimg: 4 of 5 images failed\n",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
}

#[test]
fn it_generates_what_is_not_there_or_not_whole() {
    let asked = Arc::default();
    let fake = daemon(&asked);
    fs::write(fake.out().join("l"), "a fox\na hen\na dog\na cat\n").unwrap();
    let words = ["--batch", "l", "--seed", "7", "-o", "{index}.png"];
    let run = |words: &[&str]| {
        let output = fake.zimg(words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&words).0, Some(0));
    assert_eq!(prompts(&asked).len(), 4);
    // One is gone, one is cut.
    fs::remove_file(fake.out().join("2.png")).unwrap();
    let whole = fs::read(fake.out().join("3.png")).unwrap();
    fs::write(fake.out().join("3.png"), &whole[..whole.len() - 20]).unwrap();
    let (code, said) = run(&words);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("4 images: 2 generated, 2 exist already, 0 failed, "), "{said}");
    assert_eq!(prompts(&asked), [("a hen".to_owned(), 8), ("a dog".to_owned(), 9)]);
    assert_eq!(fs::read(fake.out().join("3.png")).unwrap(), whole);
    // All there, but another seed is another image.
    let other = ["--batch", "l", "--seed", "8", "-o", "{index}.png"];
    let (code, said) = run(&other);
    assert_eq!(code, Some(73));
    assert!(said.contains("1.png exists already and is another image"), "{said}");
    assert_eq!(prompts(&asked), []);
    let (code, _) = run(&[&other[..], &["--force"]].concat());
    assert_eq!((code, prompts(&asked).len()), (Some(0), 4));
    let read = image::open(fake.out().join("1.png")).unwrap().into_rgb8();
    assert!(read.into_raw() == pixels(8, 64, 64));
    fake.leave();
}

#[test]
fn several_are_under_way_at_a_time_and_no_more_than_requested() {
    for (words, most) in [(&[][..], 4), (&["--parallel", "2"], 2)] {
        // Each waits until as many are there as are to be; more are never there.
        let meeting = Arc::new((Mutex::new((0, 0)), Condvar::new()));
        let there = Arc::clone(&meeting);
        let fake = Fake::many(move |peer, request| {
            let (count, changed) = &*there;
            let mut state = count.lock().unwrap();
            state.0 += 1;
            state.1 = state.1.max(state.0);
            changed.notify_all();
            let (mut state, _) =
                changed.wait_timeout_while(state, Duration::from_secs(60), |s| s.1 < most).unwrap();
            state.0 -= 1;
            drop(state);
            peer.generates(&submitted(request).params);
        });
        fs::write(fake.out().join("l"), "a\n".repeat(9)).unwrap();
        let ran = fake.run(&[&["--batch", "l", "-q"], words].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(meeting.0.lock().unwrap().1, most);
    }
}

#[test]
fn no_place_is_waited_for() {
    let tries = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&tries);
    let fake = Fake::many(move |peer, request| {
        let mut tries = counted.lock().unwrap();
        *tries += 1;
        if *tries == 1 {
            let failure = Failure::new(Kind::Busy, "8 of your jobs wait already");
            peer.say(Event::Busy(Busy { failure, depth: 8, wait_ms: Some(1) }));
        } else {
            peer.generates(&submitted(request).params);
        }
    });
    fs::write(fake.out().join("l"), "a fox\n").unwrap();
    let ran = fake.run(&["--batch", "l"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(*tries.lock().unwrap(), 2);
}

#[test]
fn no_daemon_ends_it_after_a_second_look() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("l"), "a\nb\n").unwrap();
    let since = Instant::now();
    let output = crate::fake::zimg(folder.path())
        .env("ZIMG_SOCKET", folder.path().join("none"))
        .args(["--batch", "l"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert_eq!(said.matches("no daemon runs").count(), 1, "{said}");
    assert!(since.elapsed() >= Duration::from_millis(500), "it has not looked twice");
}

#[test]
fn a_daemon_that_is_restarted_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    fs::write(folder.path().join("l"), "a fox\na hen\na dog\n").unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let mut child = crate::fake::zimg(folder.path())
        .env("ZIMG_SOCKET", &socket)
        .args(["--batch", "l", "--parallel=1", "--seed=7"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let accept = |listener: &UnixListener| Peer(listener.accept().unwrap().0);
    let serve = |mut peer: Peer| {
        peer.welcome();
        while let Some(request) = peer.request() {
            match request {
                Request::Overview => peer.say(Event::Overview(Box::new(crate::fake::overview()))),
                request => peer.generates(&submitted(request).params),
            }
        }
    };
    // The first life: the question how many it takes, one image, and the beginning of another,
    // when no client can connect any more.
    (0..2).for_each(|_| serve(accept(&listener)));
    let mut second = accept(&listener);
    drop(listener);
    fs::remove_file(&socket).unwrap();
    second.welcome();
    assert_eq!(second.request(), Some(Request::Overview));
    drop(second);
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("the daemon does not answer; waiting for a restart\n") {
        assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
    }
    // The second life.
    let listener = UnixListener::bind(&socket).unwrap();
    (0..2).for_each(|_| serve(accept(&listener)));
    said.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(text.contains("3 images: 3 generated, 0 exist already, 0 failed"), "{text}");
}

#[test]
fn names_that_could_not_be_found_again_are_refused() {
    let asked = Arc::default();
    let fake = daemon(&asked);
    fs::write(fake.out().join("l"), "a fox\n").unwrap();
    let ran = fake.run(&["--batch", "l", "-o", "{seed}.png"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("the batch has no seed"), "{}", ran.stderr);
    let fake = daemon(&asked);
    fs::write(fake.out().join("l"), "a fox\na fox\n").unwrap();
    let ran = fake.run(&["--batch", "l", "-o", "{prompt}.png"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("l, line 2: several images would have the file name a-fox.png"));
    assert_eq!(ran.files, ["a-fox.png", "l"]);
}

#[test]
fn prompts_may_come_from_a_pipe_and_json_tells_all() {
    let asked = Arc::default();
    let fake = daemon(&asked);
    let words = ["--batch", "-", "--json", "--parallel=1", "--seed=7", "-o", "{index}.ppm"];
    let mut zimg = fake.zimg(&words);
    let mut child =
        zimg.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    fs::write(fake.out().join("2.ppm"), [b"P6\n64 64\n255\n".as_slice(), &[0; 12288]].concat())
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a fox\na hen\na bad one\n").unwrap();
    let ran = fake.finish(child.wait_with_output().unwrap());
    assert_eq!((ran.code, &*ran.stderr), (Some(65), "zimg: 1 of 3 images failed\n"));
    let lines: Vec<_> = ran.text().lines().collect();
    assert_eq!(
        lines[..3],
        [
            r#"{"v":1,"event":"saved","image":1,"path":"1.ppm","seed":7,"width":64,"height":64,"bytes":12301}"#,
            r#"{"v":1,"event":"skipped","image":2,"path":"2.ppm"}"#,
            r#"{"v":1,"event":"item_failed","line":3,"image":3,"kind":"refused","code":65,"message":"it is bad","hint":null}"#,
        ]
    );
    let summary = r#"{"v":1,"event":"summary","generated":1,"skipped":1,"failed":1,"ms":"#;
    assert!(lines[3].starts_with(summary), "{}", lines[3]);
    assert!(lines[4].contains(r#""event":"failed","kind":"refused""#) && lines.len() == 5);
}

#[test]
fn ctrl_c_cancels_those_under_way_and_says_how_far_it_is() {
    let (told, waits) = std::sync::mpsc::channel();
    let told = Mutex::new(told);
    let fake = Fake::many(move |peer: &mut Peer, request| {
        let draw = submitted(request).params;
        if draw.prompt == "first" {
            peer.generates(&draw);
            return;
        }
        peer.starts(&draw);
        told.lock().unwrap().send(()).unwrap();
        assert_eq!(peer.request(), Some(Request::Cancel));
        peer.say(Event::Failed(Failure::new(Kind::Cancelled, "cancelled")));
    });
    fs::write(fake.out().join("l"), "first\nsecond\nthird\nfourth\n").unwrap();
    let mut zimg = fake.zimg(&["--batch", "l", "--parallel=2"]);
    let child = zimg.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Two wait for their cancel, so the first is done.
    (0..2).for_each(|_| waits.recv().unwrap());
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let ran = fake.finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 image: 1 generated, 0 exist already, 0 failed, "));
    assert!(ran.stderr.ends_with(
        "zimg: interrupted after 1 image\nhint: the same command continues from there\n"
    ));
    assert_eq!(ran.files, ["0001.png", "l"]);
}
