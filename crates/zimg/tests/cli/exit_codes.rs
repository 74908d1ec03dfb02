//! One test for each row of the table of exit codes.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zimg_protocol::frame::write_pixels;
use zimg_protocol::messages::{Event, ImageInfo, Request};
use zimg_protocol::{Failure, Frame, Kind, Welcome};

use crate::fake::{Fake, Peer, Ran, overview, requested, zimg};

/// zimg without a daemon: its exit code and standard error.
fn alone(arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("no-daemon");
    let output =
        zimg(directory.path()).env("ZIMG_SOCKET", socket).args(arguments).output().unwrap();
    assert!(output.stdout.is_empty());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// zimg whose daemon answers with this failure.
fn answered(kind: Kind) -> Ran {
    let failure = Failure::new(kind, "so it is").hint("do that");
    let fake = Fake::new(move |peer, _| peer.say(Event::Failed(failure)));
    let ran = fake.run(&["a fox", "-o", "a.png"]);
    assert_eq!(ran.stderr, "zimg: so it is\nhint: do that\n");
    assert!(ran.files.is_empty());
    ran
}

#[test]
fn done_is_0() {
    assert_eq!(Fake::honest().run(&["a fox"]).code, Some(0));
}

#[test]
fn usage_is_64() {
    let many: [&[&str]; 12] = [
        &[],
        &["a fox", "--stpes", "3"],
        &["a", "fox"],
        &["a fox", "--size", "big"],
        &["a fox", "--steps", "-1"],
        &["a fox", "-o", "fox.gif"],
        &["a fox", "-o", ""],
        &["a fox", "-o", "{number}.png"],
        &["a fox", "-o", "-", "-n", "2"],
        &["a fox", "-o", "-", "-q", "--seed", "no"],
        &["status", "now"],
        &["a fox", "--socket", &"x".repeat(108)],
    ];
    for arguments in many {
        let (code, text) = alone(arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {text}");
        assert!(!text.is_empty());
    }
}

#[test]
fn parameters_refused_is_65() {
    let (code, text) = alone(&["a fox", "--size", "1000x64"]);
    assert_eq!(code, Some(65));
    let said = "zimg: the size is 1000x64, expected sides that are multiples of 16 from 64 to 2048\n\
                hint: use 992x64 or 1008x64; --round takes the nearest, 1008x64\n";
    assert_eq!(text, said);
    let many: [&[&str]; 7] = [
        &["--steps", "0"],
        &["--steps", "101"],
        &["-n", "0"],
        &["-n", "257"],
        &["--guidance", "-1"],
        &["--guidance", "nan"],
        &["--guidance-truncation", "1.5"],
    ];
    for arguments in many {
        assert_eq!(alone(&[&["a fox"], arguments].concat()).0, Some(65), "{arguments:?}");
    }
    assert_eq!(answered(Kind::Refused).code, Some(65));
}

/// A daemon that is being started: what `zimaged &` and `zimg "a fox"` in one paste come to.
#[test]
fn a_daemon_that_is_about_to_listen_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let run = |words: &[&str]| {
        let mut command = zimg(folder.path());
        command.env("ZIMG_SOCKET", &socket).arg("a fox").args(words);
        command
    };
    let since = Instant::now();
    assert_eq!(run(&[]).output().unwrap().status.code(), Some(69));
    assert!(since.elapsed() >= Duration::from_millis(500), "it has not looked twice");
    let patient = &["--wait", "-o", "fox.png"];
    let mut child = run(patient).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(
        line.starts_with("no daemon runs: ") && line.ends_with("; waiting for a daemon\n"),
        "{line}"
    );
    let listener = UnixListener::bind(&socket).unwrap();
    let mut peer = Peer(listener.accept().unwrap().0);
    peer.welcome();
    while let Some(request) = peer.request() {
        match request {
            Request::Overview => peer.say(Event::Overview(Box::new(overview()))),
            request => peer.generates(&requested(request)),
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(folder.path().join("fox.png").exists());
}

#[test]
fn no_daemon_is_69() {
    for arguments in [&["a fox"][..], &["status"]] {
        let (code, text) = alone(arguments);
        assert_eq!(code, Some(69));
        assert!(text.starts_with("zimg: no daemon runs: there is no socket at /"), "{text}");
        assert!(text.contains("\nhint: start it with `zimaged --socket /"), "{text}");
    }
}

#[test]
fn a_broken_daemon_is_70_and_leaves_nothing() {
    let image = ImageInfo { index: 0, seed: 1, width: 64, height: 64, bytes: 3 * 64 * 64 };
    let announced = image.clone();
    let vanished = Fake::new(move |peer, request| {
        peer.starts(&requested(request));
        peer.say(Event::Image(announced));
        write_pixels(&mut peer.0, &[0; 1000]).unwrap();
    })
    .run(&["a fox", "-o", "a.png"]);
    assert_eq!(vanished.code, Some(70));
    assert!(vanished.stderr.contains("ended the connection before it was done"));
    assert!(vanished.files.is_empty(), "{:?}", vanished.files);

    let liar = ImageInfo { width: u32::MAX, height: u32::MAX, bytes: u64::MAX, ..image };
    let lied = Fake::new(move |peer, _| peer.say(Event::Image(liar))).run(&["a fox"]);
    assert_eq!(lied.code, Some(70));
    assert!(lied.stderr.contains("an image of 4294967295x4294967295"), "{}", lied.stderr);

    assert_eq!(answered(Kind::Internal).code, Some(70));
}

#[test]
fn an_output_that_cannot_be_created_is_73() {
    let (code, text) = alone(&["a fox", "-o", "no/such/fox.png"]);
    assert_eq!(code, Some(73));
    let said =
        "zimg: the directory no/such does not exist\nhint: create it with `mkdir -p no/such`\n";
    assert_eq!(text, said);
    // What is in a name is shown, not obeyed, and quoted where it is to be typed, as bash reads it.
    let (code, text) = alone(&["a fox", "-o", "no \x1b[31m\nred/fox.png"]);
    assert_eq!(code, Some(73));
    let said = "zimg: the directory no \\u{1b}[31m\\nred does not exist\n\
                hint: create it with `mkdir -p $'no \\x1b[31m\\x0ared'`\n";
    assert_eq!(text, said);
    assert_eq!(answered(Kind::CannotCreate).code, Some(73));
}

#[test]
fn a_full_disk_is_74() {
    let fake = Fake::new(|peer, request| {
        let draw = requested(request);
        let started = peer.starts(&draw);
        peer.image(&draw, 0, &started);
    });
    let mut zimg = fake.zimg(&["a fox", "-o", "-"]);
    let output = zimg.stdout(File::create("/dev/full").unwrap()).output().unwrap();
    let ran = fake.finish(output);
    assert_eq!(ran.code, Some(74));
    assert!(ran.stderr.contains("zimg: cannot write to standard output: "), "{}", ran.stderr);
    assert_eq!(answered(Kind::Io).code, Some(74));
}

#[test]
fn busy_is_75() {
    assert_eq!(answered(Kind::Busy).code, Some(75));
    let full = Fake::raw(|mut peer| {
        let failure = Failure::new(Kind::Busy, "32 clients are connected already");
        Frame::Error((&failure).into()).write(&mut peer.0).unwrap();
        peer.hello();
    });
    let ran = full.run(&["a fox"]);
    assert_eq!(ran.code, Some(75));
    assert_eq!(ran.stderr, "zimg: 32 clients are connected already\n");
}

#[test]
fn another_version_is_76_and_the_older_side_is_named() {
    for (minor, theirs, older) in [
        (9, "zimaged 9.0.0 speaks protocol 9", "zimg is older"),
        (0, "zimaged 0.0.9 speaks protocol 0", "the daemon is older"),
    ] {
        let fake = Fake::raw(move |mut peer| {
            peer.hello();
            let welcome = Welcome { major: 0, minor, capabilities: 0 };
            peer.0.write_all(&welcome.to_bytes()).unwrap();
            let refusal = Failure::new(Kind::Version, theirs);
            Frame::Error((&refusal).into()).write(&mut peer.0).unwrap();
        });
        let ran = fake.run(&["a fox"]);
        assert_eq!(ran.code, Some(76));
        let said = format!("speaks protocol 2, but {theirs}\nhint: {older}");
        assert!(ran.stderr.starts_with("zimg: zimg ") && ran.stderr.contains(&said), "{said}");
        assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
    }
}

#[test]
fn no_permission_is_77() {
    assert_eq!(answered(Kind::Permission).code, Some(77));
}

#[test]
fn a_socket_that_may_not_be_used_is_77() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mode = |name: &str, mode| fs::set_permissions(at(name), Permissions::from_mode(mode));
    let _listener = UnixListener::bind(at("socket")).unwrap();
    mode("", 0o755).unwrap();
    mode("socket", 0).unwrap();
    // Root has every permission, so another user runs zimg, from a directory that every user can read.
    // (Copied by another process: a file that any process has open for writing cannot be run,
    // and what this one has open all those have that other tests are just starting.)
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_zimg")).arg(at("zimg")).status();
    assert!(copied.unwrap().success());
    let mut zimg = Command::new(at("zimg"));
    if nix::unistd::geteuid().is_root() {
        zimg.uid(65534).gid(65534);
    }
    let output = zimg.current_dir("/").arg("--socket").arg(at("socket")).arg("status").output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(77), "{text}");
    assert!(text.starts_with("zimg: you may not use the daemon at /"), "{text}");
    assert!(text.contains("\nhint: it serves only the user that started it: "), "{text}");
}

#[test]
fn a_wrong_configuration_is_78() {
    assert_eq!(answered(Kind::Config).code, Some(78));
}

#[test]
fn cancelled_is_130() {
    assert_eq!(answered(Kind::Cancelled).code, Some(130));
}
