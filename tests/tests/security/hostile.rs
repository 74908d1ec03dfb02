//! Hostile clients that lie or do not read, all at once: they cost little, and other clients nothing.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::io::Write;
use std::time::{Duration, Instant};

use zimg_client::{Params, WorkerState};
use zimg_protocol::messages::{Generate, Priority, Request};
use zimg_protocol::{Frame, Hello};
use zimg_tests::{Daemon, Options, Raw, wait_until};

/// What the daemon may take in all.
const MEMORY_MAX: u64 = 64 << 20;
/// Of each kind of hostile client.
const EACH: usize = 8;

fn draw() -> Params {
    Params { width: Some(64), height: Some(64), ..Params::new("a fox") }
}

/// The median time of an image for a well-behaved client.
fn latency(daemon: &Daemon) -> Duration {
    let mut took: Vec<_> = (0..15)
        .map(|_| {
            let begun = Instant::now();
            daemon.draw(&draw()).unwrap();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

/// Says that a frame as long as any may be comes, and sends a few bytes of it.
fn announces(daemon: &Daemon) -> Raw {
    let mut raw = Raw::greeted(daemon.socket());
    raw.0.write_all(b"\x00\x04\x00\x00\x01\x00\x00\x00").unwrap();
    raw
}

/// Begins a hello.
fn hesitates(daemon: &Daemon) -> Raw {
    let mut raw = Raw::connect(daemon.socket());
    raw.0.write_all(&Hello::OURS.to_bytes()[..7]).unwrap();
    raw
}

/// Asks until the daemon takes no more, and reads nothing.
fn floods(daemon: &Daemon) -> Raw {
    let mut raw = Raw::greeted(daemon.socket());
    let mut ask = Vec::new();
    Frame::Request(Request::Overview).write(&mut ask).unwrap();
    raw.0.set_nonblocking(true).unwrap();
    while raw.0.write_all(&ask).is_ok() {}
    raw
}

/// Has large images generated, and reads nothing.
fn generates(daemon: &Daemon) -> Raw {
    let mut raw = Raw::greeted(daemon.socket());
    let large = Params { width: Some(2048), height: Some(2048), count: Some(2), ..draw() };
    let priority = Priority::Interactive;
    raw.ask(Request::Generate(Generate {
        params: large,
        priority,
        detach: false,
        previews: true,
        ..Generate::default()
    }));
    raw
}

#[test]
fn hostile_clients_cost_little_and_other_clients_nothing() {
    let setting = |name: &str, value: &str| (format!("ZIMAGED_{name}"), value.to_owned());
    // A user may have three quarters of all connections.
    let environment = vec![setting("CONNECTIONS", "44"), setting("JOBS_PER_USER", "64")];
    let mut daemon = Daemon::with(Options { environment, ..Options::default() });
    daemon.wait_for("READY=1");
    let alone = latency(&daemon);
    let hostile: Vec<Raw> = [announces, hesitates, floods, generates]
        .into_iter()
        .flat_map(|kind| (0..EACH).map(|_| kind(&daemon)).collect::<Vec<_>>())
        .collect();
    assert_eq!(hostile.len(), 32);
    wait_until("the large images are generated", || {
        let status = daemon.status();
        status.workers[0].state == WorkerState::Ready && status.queued == 0
    });
    let beside = latency(&daemon);
    // Both are some milliseconds; a busy machine has its say in each.
    let most = 3 * alone + Duration::from_millis(50);
    assert!(beside <= most, "{beside:?} beside hostile clients, {alone:?} without");
    let memory = daemon.peak_memory();
    assert!(memory <= MEMORY_MAX, "{memory} bytes");
    drop(hostile);
    daemon.draw(&draw()).unwrap();
    daemon.end();
}
