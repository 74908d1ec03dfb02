//! File descriptor limit: a daemon without free descriptors leaves new clients waiting, finishes the
//! running job, logs it once, and goes on when there is room.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;

use nix::sys::signal::{Signal, kill};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use zimg_client::{Image, Params, WorkerState};
use zimg_tests::{Daemon, Raw, finish, mock, wait_until};

const SEED: u64 = 0x0a_0b0c;
/// Files that the daemon may have beyond those that it has: enough to start a worker.
const FREE: usize = 10;
/// As many as one user may have connections, with those of the test itself.
const CLIENTS: usize = 20;

fn draw() -> Params {
    Params {
        width: Some(64),
        height: Some(64),
        steps: Some(4),
        seed: Some(SEED),
        ..Params::new("a fox")
    }
}

fn is_right(images: &[Image]) {
    assert!(images.len() == 1 && images[0].pixels == mock::colour(SEED).repeat(64 * 64));
}

/// Lets the daemon have few more files than it has: the limit is on their numbers, in which there
/// are gaps.
fn limit(daemon: &Daemon) {
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let number = |name: OsString| name.to_str().unwrap().parse().unwrap();
    let open: BTreeSet<u64> = open.map(|entry| number(entry.unwrap().file_name())).collect();
    let current = (0..).filter(|number| !open.contains(number)).nth(FREE);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// More clients than it can take now.
fn besiege(daemon: &Daemon) -> Vec<Raw> {
    let clients = (0..CLIENTS).map(|_| Raw::connect(daemon.socket())).collect();
    wait_until("it cannot take a client", || said(daemon) > 0);
    clients
}

/// How often it has said that it has no descriptors for clients.
fn said(daemon: &Daemon) -> usize {
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains("event=\"accept_failed\""));
    lines.inspect(|line| assert!(line.contains("Too many open files"), "{line}")).count()
}

#[test]
fn the_running_job_ends_and_waiting_clients_are_served_when_there_is_room() {
    let daemon = Daemon::ready("hold@step:2");
    let (running, _) = daemon.submit(&draw());
    daemon.held();
    limit(&daemon);
    let clients = besiege(&daemon);
    daemon.open_gate();
    is_right(&finish(running).unwrap());
    drop(clients);
    is_right(&daemon.draw(&draw()).unwrap());
    assert_eq!(said(&daemon), 1, "{}", daemon.log());
    daemon.end();
}

#[test]
fn a_worker_that_dies_then_is_replaced_when_there_is_room() {
    let daemon = Daemon::ready("hold@step:2;");
    let (running, _) = daemon.submit(&draw());
    daemon.held();
    let worker = daemon.worker();
    let mut client = daemon.client();
    limit(&daemon);
    let clients = besiege(&daemon);
    kill(worker, Signal::SIGKILL).unwrap();
    // Its descriptors go to waiting clients; none are left for the next one, which is logged.
    wait_until("there is no next worker", || {
        match client.status().unwrap().workers.remove(0).state {
            WorkerState::Restarting { reason, .. } => reason.contains("Too many open files"),
            _ => false,
        }
    });
    drop(clients);
    is_right(&finish(running).unwrap());
    daemon.end();
}
