//! Clients that are many, slow, foreign or hostile: limits, timeouts and what one costs the others.

use std::io::Write;

use zimg_client::{Generate, Params, Update};
use zimg_protocol::messages::{Event, Request};
use zimg_protocol::{Frame, Hello};
use zimg_tests::{Daemon, Raw};

/// The most memory a daemon may take, whatever clients do: pixels that wait (32 MiB at the most),
/// a frame under way for each connection, and itself.
const MEMORY_MAX: u64 = 64 << 20;

fn draw() -> Params {
    Params { width: Some(64), height: Some(64), ..Params::new("a fox") }
}

#[test]
fn a_peer_without_the_protocol_gets_one_sentence() {
    let daemon = Daemon::ready("");
    let mut http = Raw::connect(daemon.socket());
    http.0.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (code, text) = http.last_word();
    assert_eq!(code, 76);
    assert_eq!(text, "the other side does not speak zimg's protocol");

    for nonsense in [
        &b"\xff\xff\xff\xff"[..],          // announces 4 GiB
        b"\x00\x04\x00\x01",               // announces one byte too many
        b"\x00\x00\x00\x00",               // announces nothing
        b"\x00\x00\x00\x01\x66",           // an unknown kind
        b"\x00\x00\x00\x02\x01\x00",       // half a request
        b"\x00\x00\x00\x02\x10\x00",       // pixels are not for a client to send
        b"\x00\x00\x00\x05\x01\x99\0\0\0", // an unknown request
    ] {
        let mut raw = Raw::greeted(daemon.socket());
        raw.0.write_all(nonsense).unwrap();
        let (code, text) = raw.last_word();
        assert_eq!(code, 76, "{nonsense:x?}: {text}");
    }
    daemon.draw(&draw()).unwrap();
    assert!(daemon.peak_memory() < 32 << 20, "{}", daemon.peak_memory());
}

#[test]
fn a_client_that_disconnects_midway_does_no_harm() {
    let daemon = Daemon::ready("");
    for part in [&b""[..], b"ZI", &Hello::OURS.to_bytes()] {
        Raw::connect(daemon.socket()).0.write_all(part).unwrap();
    }
    Raw::greeted(daemon.socket()).0.write_all(b"\x00\x00\x10\x00\x01half").unwrap();
    daemon.draw(&draw()).unwrap();
}

#[test]
fn a_client_that_says_nothing_is_disconnected() {
    let daemon = Daemon::ready("");
    let (code, text) = Raw::connect(daemon.socket()).last_word();
    assert_eq!((code, text.as_str()), (76, "no hello came in time"));
}

#[test]
fn versions_that_do_not_fit_are_both_named() {
    let daemon = Daemon::ready("");
    // Newer clients, and older ones.
    for (min_major, max_major) in [(7, 9), (0, 0), (1, 1)] {
        let mut raw = Raw::connect(daemon.socket());
        let hello = Hello { min_major, max_major, capabilities: 0 };
        raw.0.write_all(&hello.to_bytes()).unwrap();
        assert_eq!(raw.welcome().major, 0);
        let (code, text) = raw.last_word();
        assert_eq!(code, 76);
        assert!(text.ends_with("speaks protocol 2") && text.starts_with("zimaged "), "{text}");
    }
}

#[test]
fn one_connection_has_one_job_at_a_time_but_one_after_another() {
    let daemon = Daemon::ready("");
    let mut raw = Raw::greeted(daemon.socket());
    for job in 1..=2 {
        raw.ask(Request::Generate(Generate::new(draw())));
        assert_eq!(raw.event(), Event::Accepted { job, position: 0 });
        loop {
            match raw.frame() {
                Some(Frame::Event(Event::Done(_))) => break,
                Some(Frame::Event(_) | Frame::Pixels(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let daemon = Daemon::start("hold@load");
    let mut raw = Raw::greeted(daemon.socket());
    raw.ask(Request::Generate(Generate::new(draw())));
    assert_eq!(raw.event(), Event::Accepted { job: 1, position: 0 });
    raw.ask(Request::Generate(Generate::new(draw())));
    loop {
        match raw.frame() {
            Some(Frame::Event(Event::Waiting(_))) => {}
            Some(Frame::Error(error)) => break assert_eq!(error.code, 64),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn no_user_has_all_the_connections() {
    let daemon = Daemon::ready("");
    let all: Vec<_> = (0..24).map(|_| Raw::greeted(daemon.socket())).collect();
    let mut one_more = Raw::connect(daemon.socket());
    let (code, text) = one_more.last_word();
    assert_eq!(code, 75);
    assert_eq!(text, "you already have 24 connections to zimaged, try again later");
    let output = daemon.zimg(&["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    for mut raw in all {
        raw.ask(Request::Status);
        assert!(matches!(raw.event(), Event::Status(_)));
    }
}

#[test]
fn a_client_that_does_not_read_is_dropped_while_others_are_served() {
    let daemon = Daemon::ready("");
    let mut slow = Raw::greeted(daemon.socket());
    // 100 MB of images, which no client reads.
    let size = Some(2048);
    slow.ask(Request::Generate(Generate::new(Params {
        width: size,
        height: size,
        count: Some(8),
        ..draw()
    })));
    // Accepted before this one, so generated before it.
    assert!(matches!(slow.event(), Event::Accepted { .. }));
    assert_eq!(daemon.draw(&draw()).unwrap().len(), 1);
    let mut bytes = 0;
    while let Ok(Some(frame)) = Frame::read(&mut slow.0, 2 << 20) {
        match frame {
            Frame::Pixels(pixels) => bytes += pixels.len(),
            Frame::Event(Event::Done(_)) => panic!("not all images can have come"),
            _ => {}
        }
    }
    assert!(bytes < 16 << 20, "{bytes} bytes were kept for a client that does not read");
    assert!(daemon.peak_memory() < MEMORY_MAX, "{}", daemon.peak_memory());
}

#[test]
fn all_clients_that_do_not_read_share_one_limit() {
    let daemon = Daemon::ready("");
    let size = Some(2048);
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let mut raw = Raw::greeted(daemon.socket());
            // 25 MB, which is within one client's limit; one of these is within that of all.
            raw.ask(Request::Generate(Generate::new(Params {
                width: size,
                height: size,
                count: Some(2),
                ..draw()
            })));
            assert!(matches!(raw.event(), Event::Accepted { .. }));
            raw
        })
        .collect();
    assert_eq!(daemon.draw(&draw()).unwrap().len(), 1);
    assert!(daemon.peak_memory() < MEMORY_MAX, "{}", daemon.peak_memory());
    let whole = slow.into_iter().map(|mut raw| {
        let mut done = false;
        while let Ok(Some(frame)) = Frame::read(&mut raw.0, 2 << 20) {
            done |= matches!(frame, Frame::Event(Event::Done(_)));
            if done {
                break;
            }
        }
        done
    });
    assert_eq!(whole.filter(|done| *done).count(), 1);
}

#[test]
fn requests_of_a_client_that_reads_nothing_are_not_read() {
    let daemon = Daemon::ready("");
    let mut flood = Raw::greeted(daemon.socket());
    flood.0.set_nonblocking(true).unwrap();
    let mut ask = Vec::new();
    Frame::Request(Request::Status).write(&mut ask).unwrap();
    // Until the daemon takes no more.
    while flood.0.write_all(&ask).is_ok() {}
    daemon.draw(&draw()).unwrap();
    assert!(daemon.peak_memory() < 32 << 20, "{}", daemon.peak_memory());
}

#[test]
fn progress_of_a_job_without_subscribers_is_not_stored() {
    let daemon = Daemon::ready("");
    let (mut job, _) = daemon.submit(&Params { steps: Some(100), count: Some(64), ..draw() });
    // Accepted before this one, so generated before it: all 6,400 steps are done at the first look.
    daemon.draw(&draw()).unwrap();
    let steps = job.by_ref().filter(|update| matches!(update, Ok(Update::Step(_)))).count();
    assert!(steps < 1_000, "{steps} steps");
}
