//! `zimg sleep`, `zimg wake` and `zimg metrics` against a daemon.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::collections::BTreeMap;

use zimg_client::{Draw, WorkerState};
use zimg_tests::{Daemon, wait_until};

fn zimg(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = daemon.zimg(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The figures by their names; fails for a line that Prometheus would not understand.
fn metrics(daemon: &Daemon) -> BTreeMap<String, f64> {
    let (code, text, _) = zimg(daemon, &["metrics"]);
    assert_eq!(code, Some(0));
    let mut figures = BTreeMap::new();
    let lines: Vec<_> = text.lines().collect();
    for lines in lines.chunks(3) {
        let [help, kind, sample] = lines else { panic!("{lines:?}") };
        let (name, value) = sample.split_once(' ').unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(help.starts_with(&format!("# HELP {name} ")), "{help}");
        let counts = kind.strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(counts == "counter", name.ends_with("_total"), "{kind}");
        assert!(figures.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
    }
    figures
}

#[test]
fn sleep_frees_and_wake_brings_back() {
    let daemon = Daemon::ready("");
    assert_eq!(zimg(&daemon, &["sleep"]), (Some(0), String::new(), String::new()));
    assert_eq!(daemon.status().worker, WorkerState::Asleep);
    assert_eq!(metrics(&daemon)["zimg_worker_asleep"], 1.0);
    let (_, text, _) = zimg(&daemon, &["status"]);
    assert!(text.contains("asleep until the next prompt"), "{text}");
    assert_eq!(zimg(&daemon, &["wake"]).0, Some(0));
    wait_until("the worker is back", || daemon.status().worker == WorkerState::Ready);
    daemon.end();
}

#[test]
fn figures_follow_what_happens() {
    let daemon = Daemon::ready("");
    let before = metrics(&daemon);
    assert_eq!((before["zimg_pictures_total"], before["zimg_jobs_max"]), (0.0, 64.0));
    daemon.draw(&Draw { count: 2, width: Some(64), height: Some(64), ..Draw::new("a") }).unwrap();
    let after = metrics(&daemon);
    assert_eq!((after["zimg_pictures_total"], after["zimg_steps_total"]), (2.0, 16.0));
    assert_eq!((after["zimg_jobs_done_total"], after["zimg_worker_ready"]), (1.0, 1.0));
    let (code, _, said) = zimg(&daemon, &["metrics", "--json"]);
    assert_eq!(code, Some(64), "{said}");
    daemon.end();
}
