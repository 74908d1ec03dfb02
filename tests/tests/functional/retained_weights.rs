//! Retained weights: they outlive the worker and the daemon, and the next worker reads none. If
//! anything about them is doubtful the worker reads the checkpoint, and the image has the same bits.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use zimg_client::{Params, Update, WorkerState};
use zimg_protocol::messages::Weights;
use zimg_tests::{Daemon, Options, Store, built_worker, copied, finish, lives, wait_until};

/// The manifest and the last of three components.
const MANIFEST: &str = "zimaged-worker-0-weights-0";
const LAST: &str = "zimaged-worker-0-weights-3";

/// A daemon with the real worker, ready, its weights stored.
fn daemon_with(model: &str, store: Store) -> Daemon {
    let environment = vec![("ZIMAGED_MODEL".to_owned(), model.to_owned())];
    let options =
        Options { worker: Some(built_worker()), environment, store, ..Options::default() };
    let mut daemon = Daemon::with(options);
    daemon.wait_for("READY=1");
    wait_until("the weights are stored", || daemon.store().names().len() == 4);
    daemon
}

fn tiny() -> Daemon {
    daemon_with("tiny", Store::default())
}

fn draw(daemon: &Daemon) -> Vec<u8> {
    let draw = Params {
        width: Some(128),
        height: Some(128),
        steps: Some(2),
        seed: Some(7),
        ..Params::new("a red circle")
    };
    daemon.draw(&draw).unwrap().remove(0).pixels
}

fn weights(daemon: &Daemon) -> Weights {
    wait_until("the worker is ready", || daemon.status().workers[0].state == WorkerState::Ready);
    daemon.client().overview().unwrap().status.workers.remove(0).weights.unwrap()
}

fn read_again(daemon: &Daemon, why: &str) {
    let weights = weights(daemon);
    assert!(matches!(weights, Weights::Read { bytes } if bytes > 10_000_000), "{weights:?}");
    let log = daemon.log();
    assert!(log.contains(&format!("the retained weights are not used: {why}")), "{log}");
}

fn retained(daemon: &Daemon) {
    let weights = weights(daemon);
    assert!(matches!(weights, Weights::Retained { bytes } if bytes > 10_000_000), "{weights:?}");
}

/// Kills the worker; another one is ready when this returns.
fn kill_worker(daemon: &Daemon) -> Pid {
    let before = daemon.worker();
    kill(before, Signal::SIGKILL).unwrap();
    wait_until("another worker is ready", || {
        let status = daemon.status();
        status.workers[0].state == WorkerState::Ready
            && status.workers[0].pid != u32::try_from(before.as_raw()).ok()
    });
    daemon.worker()
}

/// Bytes that a process had from `read` and its like so far, files' or not.
fn read_by(process: Pid) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// The built-in model's files in a folder.
fn folder_of_tiny() -> tempfile::TempDir {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/zimage-worker/tiny");
    copied(Path::new(tiny))
}

/// Sealed memory with these bytes, as a worker leaves it.
fn sealed(bytes: &[u8]) -> OwnedFd {
    let made = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let file = File::from(made);
    file.write_all_at(bytes, 0).unwrap();
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

fn bytes_of(memory: &OwnedFd) -> Vec<u8> {
    let file = File::from(memory.try_clone().unwrap());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn the_next_worker_has_a_dead_workers_weights_and_generates_the_same_bits() {
    let daemon = tiny();
    assert!(matches!(weights(&daemon), Weights::Read { .. }));
    let image = draw(&daemon);
    for _ in 0..3 {
        kill_worker(&daemon);
        retained(&daemon);
        assert!(draw(&daemon) == image);
    }
}

#[test]
fn a_job_whose_worker_is_killed_waits_for_nothing_but_a_process() {
    let daemon = tiny();
    let (width, height) = (Some(192), Some(128));
    let draw = Params { width, height, steps: Some(20), ..Params::new("a house at night") };
    let undisturbed = daemon.draw(&draw).unwrap().remove(0).pixels;
    let (mut job, _) = daemon.submit(&draw);
    let step = |update: &Update| matches!(update, Update::Step(step) if step.step == 4);
    assert!(job.any(|update| step(&update.unwrap())));
    kill(daemon.worker(), Signal::SIGKILL).unwrap();
    assert!(finish(job).unwrap().remove(0).pixels == undisturbed);
    retained(&daemon);
    let log = daemon.log();
    assert_eq!(
        log.matches(" worker: warm-up took").count(),
        1,
        "the second has a job to do: {log}"
    );
    let words = fs::read(format!("/proc/{}/cmdline", daemon.worker())).unwrap();
    let words = String::from_utf8(words).unwrap().replace('\0', " ");
    assert!(words.contains(" --awaited 192x128 "), "{words}");
    assert_eq!(daemon.status().workers[0].restarts, 1);
}

#[test]
fn not_a_byte_of_a_tensor_is_read_again() {
    let folder = folder_of_tiny();
    let daemon = daemon_with(folder.path().to_str().unwrap(), Store::default());
    let Weights::Read { bytes } = weights(&daemon) else { panic!("they were not read") };
    let files: u64 = ["text_encoder/model", "transformer/diffusion_pytorch_model"]
        .iter()
        .map(|file| folder.path().join(format!("{file}.safetensors")).metadata().unwrap().len())
        .sum();
    assert!(bytes > files * 99 / 100, "{bytes} of {files}");
    let first = read_by(daemon.worker());
    let second = read_by(kill_worker(&daemon));
    retained(&daemon);
    // Headers, configurations and the tokenizer are read by both.
    assert!(first >= bytes && second < bytes / 50, "{first} then {second}, tensors {bytes}");
}

#[test]
fn a_checkpoint_that_changed_meanwhile_is_read() {
    let folder = folder_of_tiny();
    let daemon = daemon_with(folder.path().to_str().unwrap(), Store::default());
    let image = draw(&daemon);
    let file: PathBuf = folder.path().join("vae/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    kill_worker(&daemon);
    read_again(&daemon, "the checkpoint's files have changed");
    assert!(draw(&daemon) == image, "it was the same after all");
    kill_worker(&daemon);
    retained(&daemon);
}

#[test]
fn a_daemon_that_is_started_again_keeps_the_weights() {
    let mut daemon = tiny();
    let image = draw(&daemon);
    let store = daemon.stop();
    assert_eq!(store.names(), [0, 1, 2, 3].map(|n| format!("zimaged-worker-0-weights-{n}")));
    let mut again = daemon_with("tiny", store);
    retained(&again);
    assert!(draw(&again) == image);
    // And once more, from what was stored then.
    let third = daemon_with("tiny", again.stop());
    retained(&third);
    kill_worker(&third);
    retained(&third);
}

#[test]
fn what_the_manager_stored_is_used_only_if_nothing_is_doubtful() {
    let mut daemon = tiny();
    let image = draw(&daemon);
    let mut store = daemon.stop();
    // One daemon after the other: the one before has stored good ones again.
    for (why, spoil) in [
        (
            "their checksum is wrong",
            Box::new(|store: &mut Store| {
                let mut bytes = bytes_of(store.get(LAST));
                bytes[12_345] ^= 1;
                *store.get(LAST) = sealed(&bytes);
            }) as Box<dyn Fn(&mut Store)>,
        ),
        (
            "the manifest is damaged: EOF while parsing",
            Box::new(|store| {
                let bytes = bytes_of(store.get(MANIFEST));
                *store.get(MANIFEST) = sealed(&bytes[..bytes.len() / 2]);
            }),
        ),
        (
            "another version of zimg loaded them",
            Box::new(|store| {
                let text = String::from_utf8(bytes_of(store.get(MANIFEST))).unwrap();
                let other = text.replace("\"layout\":1,\"version\"", "\"layout\":0,\"version\"");
                assert_ne!(text, other);
                *store.get(MANIFEST) = sealed(other.as_bytes());
            }),
        ),
        (
            "memory that outlives the process is not available: ",
            Box::new(|store| *store.get(LAST) = File::open("/dev/null").unwrap().into()),
        ),
        (
            "the manifest and the memory differ in their number of components",
            Box::new(|store| store.lose(LAST)),
        ),
    ] {
        spoil(&mut store);
        let mut daemon = daemon_with("tiny", store);
        read_again(&daemon, why);
        assert!(draw(&daemon) == image, "{why}");
        store = daemon.stop();
        assert_eq!(store.names().len(), 4, "{why}");
    }
    retained(&daemon_with("tiny", store));
}

#[test]
fn a_part_that_the_manager_lost_makes_the_rest_worthless() {
    let mut daemon = tiny();
    let mut store = daemon.stop();
    store.lose("zimaged-worker-0-weights-1");
    let daemon = daemon_with("tiny", store);
    assert!(matches!(weights(&daemon), Weights::Read { .. }));
    assert!(daemon.log().contains("event=\"weights_incomplete\" worker=0"), "{}", daemon.log());
}

#[test]
fn another_model_does_not_get_them_and_its_own_take_their_place() {
    let folder = folder_of_tiny();
    let store = tiny().stop();
    let mut daemon = daemon_with(folder.path().to_str().unwrap(), store);
    read_again(&daemon, "the checkpoint's files have changed");
    retained(&daemon_with(folder.path().to_str().unwrap(), daemon.stop()));
}

#[test]
fn asleep_no_process_holds_the_memory() {
    let mut daemon = tiny();
    let holds = |pid: u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let names = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
        names.filter(|name| name.to_string_lossy().contains("memfd:zimage-weights")).count()
    };
    assert_eq!(holds(daemon.pid()), 4);
    let worker = daemon.worker();
    daemon.client().sleep().unwrap();
    assert!(!lives(worker));
    assert_eq!(holds(daemon.pid()), 0);
    daemon.wait_for("STATUS=asleep");
    assert!(daemon.store().names().is_empty());
    daemon.client().wake().unwrap();
    assert!(matches!(weights(&daemon), Weights::Read { .. }));
}

#[test]
fn a_worker_that_is_killed_while_it_starts_leaves_them_to_the_next() {
    let daemon = tiny();
    let first = daemon.worker();
    kill(first, Signal::SIGKILL).unwrap();
    let mut second = None;
    wait_until("the second worker is started", || {
        second = daemon.status().workers[0].pid.map(|pid| Pid::from_raw(pid as i32));
        second.is_some_and(|second| second != first)
    });
    kill(second.unwrap(), Signal::SIGKILL).unwrap();
    wait_until("the third worker is ready", || {
        let status = daemon.status();
        status.workers[0].state == WorkerState::Ready && status.workers[0].restarts == 2
    });
    retained(&daemon);
}
