//! Terminal output as a pseudo-terminal receives it.

use std::fs::File;
use std::io::Read;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_protocol::messages::{Event, Request, Waiting, WorkerState};
use zimg_protocol::{Failure, Kind};

use crate::fake::{Fake, overview, requested, zimg};
use crate::pty::written_to;

/// The text without its colours.
pub(crate) fn uncoloured(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('m') {
            Some((codes, rest)) if codes.chars().all(|c| c.is_ascii_digit() || c == ';') => {
                plain += rest;
            }
            _ => plain += &format!("\x1b[{part}"),
        }
    }
    plain
}

#[test]
fn one_line_says_how_far_it_is_and_then_goes() {
    let fake = Fake::new(|peer, request| {
        peer.say(Event::Waiting(Waiting::Queue { position: 1 }));
        let state = WorkerState::Loading { done: 5_000_000, total: 20_000_000 };
        peer.say(Event::Waiting(Waiting::Worker(state)));
        peer.generates(&requested(request));
    });
    let pty = openpty(None, None).unwrap();
    let mut zimg = fake.zimg(&["a fox", "-n2", "--seed=7", "-o", "a.png"]);
    let mut child = zimg.stderr(pty.slave).spawn().unwrap();
    // The command holds the terminal's other end open.
    drop(zimg);
    let text = written_to(pty.master);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = uncoloured(&text);
    let shown: Vec<_> = text.split("\r\x1b[K").collect();
    let expected = [
        "",
        "waiting: 1 job is before this one",
        "━━━━━───────────────  waiting: loading the model, 25 % (5 MB of 20 MB)",
        "────────────────────  encoding the prompt",
        "━━━━━───────────────  image 1 of 2, step 1 of 2, 0.8 s left",
        "━━━━━━━━━━──────────  image 1 of 2, step 2 of 2, 0.5 s left",
        "━━━━━━━━━━──────────  image 1 of 2, decoding",
        "━━━━━━━━━━──────────  saving",
    ];
    assert_eq!(shown[..expected.len()], expected, "{text:?}");
    let saved = shown[expected.len()];
    let (kept, _) = saved.split_once("\r\n").unwrap();
    assert!(kept.starts_with("a-1.png: 64x64, seed 7, "), "{text:?}");
    let (end, line) = text.rsplit_once("\r\n").map(|(rest, end)| (end, rest)).unwrap();
    assert_eq!(end, "", "nothing but what is kept remains");
    assert!(line.contains("a-2.png: 64x64, seed 8, "), "{text:?}");
}

#[test]
fn a_place_in_the_queue_comes_with_an_estimate() {
    let mut busy = overview();
    busy.wait_ms = Some(3_600_000);
    let fake = Fake::being(busy, |peer, request| {
        peer.say(Event::Accepted { job: 1, position: 3 });
        peer.generates(&requested(request));
    });
    let pty = openpty(None, None).unwrap();
    let mut zimg = fake.zimg(&["a fox", "-o", "a.png"]);
    let mut child = zimg.stderr(pty.slave).spawn().unwrap();
    drop(zimg);
    let text = written_to(pty.master);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let line = "\r\x1b[Kwaiting: 3 jobs are before this one, about 60 min\r";
    assert!(text.contains(line), "{text:?}");
}

#[test]
fn a_place_is_waited_for_when_requested() {
    use std::sync::Mutex;
    use zimg_protocol::messages::Busy;
    let tries = Mutex::new(0);
    let fake = Fake::many(move |peer, request| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        if *tries < 3 {
            let failure = Failure::new(Kind::Busy, "8 of your jobs wait already");
            peer.say(Event::Busy(Busy { failure, depth: 8, wait_ms: Some(120) }));
        } else {
            peer.generates(&requested(request));
        }
    });
    let pty = openpty(None, None).unwrap();
    let mut zimg = fake.zimg(&["a fox", "-o", "a.png", "--wait"]);
    let mut child = zimg.stderr(pty.slave).spawn().unwrap();
    drop(zimg);
    let text = written_to(pty.master);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text:?}");
    let line = "8 of your jobs wait already; asking again in 0.12 s";
    assert_eq!(text.matches(line).count(), 2, "{text:?}");
    fake.leave();
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let said = |name: &str, value: &str| {
        let directory = tempfile::tempdir().unwrap();
        let pty = openpty(None, None).unwrap();
        let mut zimg = zimg(directory.path());
        zimg.env(name, value);
        let mut child = zimg.args(["a fox", "--size=1x1"]).stderr(pty.slave).spawn().unwrap();
        drop(zimg);
        let text = written_to(pty.master);
        assert_eq!(child.wait().unwrap().code(), Some(65));
        text
    };
    let coloured = said("NO_COLOR", "");
    assert!(
        coloured.starts_with("\x1b[1;31mzimg:\x1b[0m the size is 1x1, expected "),
        "{coloured:?}"
    );
    assert!(coloured.contains("\n\x1b[36mhint:\x1b[0m use 64x64; "), "{coloured:?}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = said(name, value);
        assert!(
            plain.starts_with("zimg: the size is 1x1, ") && !plain.contains('\x1b'),
            "{plain:?}"
        );
    }
}

#[test]
fn a_narrow_terminal_is_not_overrun() {
    let narrow = Winsize { ws_row: 24, ws_col: 20, ws_xpixel: 0, ws_ypixel: 0 };
    let fake = Fake::new(|peer, request| {
        peer.say(Event::Waiting(Waiting::Queue { position: 3 }));
        peer.generates(&requested(request));
    });
    let pty = openpty(Some(&narrow), None).unwrap();
    let mut zimg = fake.zimg(&["a fox", "-o", "a.png"]);
    let mut child = zimg.stderr(pty.slave).spawn().unwrap();
    drop(zimg);
    let text = written_to(pty.master);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(text.contains("\x1b[Kwaiting: 3 jobs are\r"), "{text:?}");
    for line in text.split("\r\x1b[K").filter(|line| !line.contains('\n')) {
        assert!(line.chars().count() < 20, "{line:?}");
    }
}

#[test]
fn a_dumb_terminal_is_sent_lines_and_nothing_to_obey() {
    let pty = openpty(None, None).unwrap();
    let fake = Fake::honest();
    let mut zimg = fake.zimg(&["a fox", "--show", "--preview", "-o", "a.png", "--seed=7"]);
    let mut child = zimg.env("TERM", "dumb").stderr(pty.slave).spawn().unwrap();
    drop(zimg);
    let text = written_to(pty.master);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text:?}");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.starts_with("--show and --preview have no effect: "), "{text:?}");
    assert!(text.contains("a.png: 64x64, seed 7, "), "{text:?}");
}

#[test]
fn a_shape_in_the_sizes_place_is_told_from_one() {
    let directory = tempfile::tempdir().unwrap();
    let output = zimg(directory.path()).args(["a fox", "--size=16:9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("a shape is --aspect 16:9"), "{text}");
}

#[test]
fn ctrl_c_is_answered() {
    let fake = Fake::new(|peer, request| {
        peer.starts(&requested(request));
        assert_eq!(peer.request(), Some(Request::Cancel));
        peer.say(Event::Failed(Failure::new(Kind::Cancelled, "the job was cancelled")));
    });
    let pty = openpty(None, None).unwrap();
    let mut zimg = fake.zimg(&["a fox", "-o", "a.png"]);
    let mut child = zimg.stderr(pty.slave).spawn().unwrap();
    drop(zimg);
    let mut terminal = File::from(pty.master);
    let mut text = String::new();
    while !text.contains("encoding the prompt") {
        let mut buffer = [0; 512];
        let bytes = terminal.read(&mut buffer).unwrap();
        text += str::from_utf8(&buffer[..bytes]).unwrap();
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let text = written_to(terminal.into());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let rest = text.strip_prefix(" cancelling at the next step\r").unwrap();
    let last = rest.trim_start_matches(['\r', '\n']);
    assert_eq!(last, "\x1b[K\x1b[1;31mzimg:\x1b[0m the job was cancelled\r\n");
}

#[test]
fn a_terminal_gets_no_image() {
    let directory = tempfile::tempdir().unwrap();
    let pty = openpty(None, None).unwrap();
    let mut zimg = zimg(directory.path());
    let child = zimg.args(["a fox", "-o", "-"]).stdout(pty.slave).output();
    let output = child.unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with(
            "zimg: standard output is a terminal, and an image is binary data\nhint: "
        ),
        "{text}"
    );
    drop(zimg);
    assert_eq!(written_to(pty.master), "");
}

#[test]
fn a_terminal_by_its_name_gets_no_image_either() {
    let directory = tempfile::tempdir().unwrap();
    let pty = openpty(None, None).unwrap();
    let name = nix::unistd::ttyname(&pty.slave).unwrap();
    let output = zimg(directory.path()).args(["a fox", "-o"]).arg(&name).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    let said =
        format!("zimg: {} is a terminal, and an image is binary data\nhint: ", name.display());
    assert!(text.starts_with(&said), "{text}");
    drop(pty.slave);
    assert_eq!(written_to(pty.master), "");
}
