//! `zimg sleep`, `wake`, `status` and `metrics` against a daemon.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper fails its test by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use zimg_client::{Params, WorkerState};
use zimg_tests::{Daemon, Options, wait_until};

fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn zimg(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(daemon.zimg(arguments))
}

/// The figures by their names and labels, as Prometheus reads them (text format 0.0.4); fails for
/// any line that it would not understand, and for names against its conventions.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "{text:?}");
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let (mut figures, mut families) = (BTreeMap::new(), BTreeSet::new());
    let mut family = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a help has words");
            assert!(is_name(name) && name.starts_with("zimg_") && !words.is_empty(), "{line}");
            assert!(families.insert(name.to_owned()), "{name} twice");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).expect("a type");
            let kind = kind.strip_prefix(name).and_then(|kind| kind.strip_prefix(' '));
            let counts = match kind.expect("the type is of the same name") {
                "counter" => true,
                "gauge" => false,
                other => panic!("{other} is no type"),
            };
            assert_eq!(counts, name.ends_with("_total"), "{line}");
            family = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
        assert_eq!(name, family, "{line}");
        if !labels.is_empty() {
            let mut rest = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).unwrap();
            while !rest.is_empty() {
                let (label, value) = rest.split_once("=\"").expect("a label has a value");
                assert!(is_name(label.trim_start_matches(',')), "{line}");
                rest = value.split_once('"').expect("a value has an end").1;
            }
        }
        let value: f64 = value.parse().unwrap();
        assert!(value.is_finite(), "{line}");
        assert!(figures.insert(series.to_owned(), value).is_none(), "{series} twice");
    }
    figures
}

fn metrics(daemon: &Daemon) -> BTreeMap<String, f64> {
    let (code, text, said) = zimg(daemon, &["metrics"]);
    assert_eq!((code, &*said), (Some(0), ""));
    parsed(&text)
}

#[test]
fn sleep_frees_and_wake_brings_back() {
    let daemon = Daemon::ready("");
    assert_eq!(zimg(&daemon, &["sleep"]), (Some(0), String::new(), String::new()));
    assert_eq!(daemon.status().workers[0].state, WorkerState::Asleep);
    let figures = metrics(&daemon);
    assert_eq!(figures["zimg_worker_state{worker=\"0\",state=\"asleep\"}"], 1.0);
    assert_eq!(figures["zimg_worker_state{worker=\"0\",state=\"ready\"}"], 0.0);
    let (_, text, _) = zimg(&daemon, &["status"]);
    assert!(text.contains("asleep until the next prompt"), "{text}");
    assert_eq!(zimg(&daemon, &["wake"]).0, Some(0));
    wait_until("the worker is back", || daemon.status().workers[0].state == WorkerState::Ready);
    daemon.end();
}

#[test]
fn figures_follow_what_happens() {
    let daemon = Daemon::ready("");
    let before = metrics(&daemon);
    assert_eq!((before["zimg_images_total"], before["zimg_jobs_max"]), (0.0, 64.0));
    daemon
        .draw(&Params { count: Some(2), width: Some(64), height: Some(64), ..Params::new("a") })
        .unwrap();
    let after = metrics(&daemon);
    assert_eq!((after["zimg_images_total"], after["zimg_steps_total"]), (2.0, 16.0));
    assert_eq!((after["zimg_jobs_done_total"], after["zimg_up"]), (1.0, 1.0));
    assert_eq!(after["zimg_worker_state{worker=\"0\",state=\"ready\"}"], 1.0);
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("zimg_build_info{{version=\"{version}\",zimg_version=\"{version}\"}}");
    assert_eq!(after[&build], 1.0, "{after:?}");
    let (code, _, said) = zimg(&daemon, &["metrics", "--json"]);
    assert_eq!(code, Some(64), "{said}");
    let mut absent = daemon.zimg(&["metrics"]);
    absent.env("ZIMG_SOCKET", daemon.folder().join("no-daemon"));
    let (code, text, said) = run(absent);
    assert_eq!(code, Some(69));
    assert_eq!(parsed(&text)["zimg_up"], 0.0);
    assert!(said.starts_with("zimg: no daemon runs"), "{said}");
    daemon.end();
}

#[test]
fn the_whole_state_is_one_line() {
    let daemon = Daemon::ready("");
    let (code, line, said) = zimg(&daemon, &["status", "--json"]);
    assert_eq!((code, &*said), (Some(0), ""));
    let has = |part: &str| assert!(line.contains(part), "{part} is not in {line}");
    has(&format!("\"config\":\"{}\"", daemon.folder().join("zimaged.toml").display()));
    has(&format!("\"directory\":\"{}\"", daemon.folder().join("state").display()));
    has("\"path\":\"tiny\"");
    has("\"limit\":64,\"limit_per_user\":8");
    daemon.end();
}

#[test]
fn watching_goes_on_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s/zimaged.sock");
    let start = || {
        let options = Options { socket: Some(socket.clone()), ..Options::default() };
        let mut daemon = Daemon::with(options);
        daemon.wait_for("READY=1");
        daemon
    };
    let first = start();
    let mut zimg = first.zimg(&["status", "--watch=0.1"]);
    let mut child = zimg.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |what: &str| {
        let found = lines.find(|line| line.contains(what));
        assert!(found.is_some(), "it is never said: {what}");
    };
    next("ready; 0 waiting, 0 done, 0 failed");
    first.draw(&Params { width: Some(64), height: Some(64), ..Params::new("a") }).unwrap();
    next("ready; 0 waiting, 1 done, 0 failed");
    first.end();
    next("no daemon runs");
    let second = start();
    next("ready; 0 waiting, 0 done, 0 failed");
    child.kill().unwrap();
    child.wait().unwrap();
    second.end();
}
