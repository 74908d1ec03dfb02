//! Ctrl-C: once to cancel, twice to leave at once.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_protocol::messages::{Event, Request};
use zimg_protocol::{Failure, Kind};

use crate::fake::{Fake, requested};

/// zimg generating, once it has told its first event: then it takes signals as a job's.
fn generating_zimg(fake: &Fake) -> (Child, BufReader<ChildStdout>) {
    let mut zimg = fake.zimg(&["a fox", "-o", "a.png", "--json"]);
    let mut child = zimg.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    assert!(line.contains("\"accepted\""), "{line}");
    (child, events)
}

fn send(signal: Signal, child: &Child) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn the_first_cancels_and_ends_in_130() {
    let fake = Fake::new(|peer, request| {
        peer.starts(&requested(request));
        assert_eq!(peer.request(), Some(Request::Cancel));
        peer.say(Event::Failed(Failure::new(Kind::Cancelled, "cancelled")));
    });
    let (child, mut events) = generating_zimg(&fake);
    send(Signal::SIGINT, &child);
    let mut rest = String::new();
    events.read_to_string(&mut rest).unwrap();
    let ran = fake.finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130));
    assert_eq!(ran.stderr, "zimg: cancelled\n");
    assert!(rest.contains("\"kind\":\"cancelled\",\"code\":130"), "{rest}");
    assert!(ran.files.is_empty(), "{:?}", ran.files);
}

#[test]
fn the_second_leaves_at_once() {
    let (told, cancelled) = mpsc::channel();
    let fake = Fake::new(move |peer, request| {
        peer.starts(&requested(request));
        assert_eq!(peer.request(), Some(Request::Cancel));
        told.send(()).unwrap();
        assert_eq!(peer.request(), None, "it has gone");
    });
    let (child, _events) = generating_zimg(&fake);
    send(Signal::SIGINT, &child);
    cancelled.recv().unwrap();
    send(Signal::SIGINT, &child);
    let ran = fake.finish(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.files.len()), (Some(130), 0));
}

#[test]
fn a_termination_leaves_at_once() {
    let fake = Fake::new(|peer, request| {
        peer.starts(&requested(request));
        assert_eq!(peer.request(), None, "it has gone");
    });
    let (child, _events) = generating_zimg(&fake);
    send(Signal::SIGTERM, &child);
    let ran = fake.finish(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.files.len()), (Some(128 + 15), 0));
}

#[test]
fn a_pipe_that_is_not_read_can_be_left() {
    let fake = Fake::new(|peer, request| {
        let draw = requested(request);
        let started = peer.starts(&draw);
        peer.image(&draw, 0, &started);
        assert_eq!(peer.request(), None, "it has gone");
    });
    let pipe = fake.out().join("pipe.ppm");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut zimg = fake.zimg(&["a fox", "-o", "pipe.ppm", "--size", "512x512", "-q"]);
    let child = zimg.spawn().unwrap();
    // More than a pipe holds is on its way, and the rest is not read.
    let mut reader = File::open(&pipe).unwrap();
    reader.read_exact(&mut [0; 2]).unwrap();
    send(Signal::SIGTERM, &child);
    let ran = fake.finish(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(128 + 15));
}
