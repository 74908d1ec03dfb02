//! Socket activation: the service manager listens, and zimaged starts and stops behind the socket.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use zimg_client::{Client, Kind, Params, Update, WorkerState};
use zimg_tests::{finish, lives, mock_worker, program, wait_until};

/// What a service manager holds: the socket, in a folder for all that is started.
struct Manager {
    folder: TempDir,
    listener: UnixListener,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("activated.sock")).unwrap();
        File::create(folder.path().join("zimaged.toml")).unwrap();
        Self { folder, listener }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("activated.sock")
    }

    /// What it does between fork and exec, a shell does here: the socket as descriptor 3,
    /// LISTEN_PID the process itself.
    fn start(&self, worker: &Path) -> Service {
        let log =
            File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let child = Command::new("/bin/sh")
            .args(["-c", "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\""])
            .arg(program("zimaged"))
            .arg("--config")
            .arg(self.folder.path().join("zimaged.toml"))
            .arg("--worker")
            .arg(worker)
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path())
            .stdin(OwnedFd::from(self.listener.try_clone().unwrap()))
            .stderr(log)
            .spawn()
            .unwrap();
        Service(child)
    }

    fn client(&self) -> Client {
        Client::connect("test 1.0", &self.socket()).unwrap()
    }

    /// A `zimg` that generates, and is not waited for.
    fn zimg(&self, name: &str) -> Child {
        Command::new(program("zimg"))
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("ZIMG_SOCKET", self.socket())
            .args(["a fox", "--size", "64x64", "-o", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

struct Service(Child);

impl Service {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn generated(zimg: Child) -> Output {
    let output = zimg.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn draw() -> Params {
    Params { width: Some(64), height: Some(64), ..Params::new("a fox") }
}

#[test]
fn a_service_manager_can_bring_the_socket() {
    let manager = Manager::new();
    let mut service = manager.start(Path::new("/nowhere"));
    let status = manager.client().status().unwrap();
    assert!(
        matches!(status.workers[0].state, WorkerState::Failed(_)),
        "{:?}",
        status.workers[0].state
    );
    service.signal(Signal::SIGTERM);
    assert!(service.0.wait().unwrap().success());
    assert!(manager.socket().exists(), "the socket is the service manager's");
}

#[test]
fn no_client_is_refused_while_the_service_restarts() {
    let manager = Manager::new();
    let worker = mock_worker(manager.folder.path(), "hold@step:2;");
    let mut first = manager.start(&worker);
    let mut running = manager.client().generate(draw()).unwrap();
    while !matches!(running.next(), Some(Ok(Update::Step(step))) if step.step == 2) {}

    // One waits in the queue when the service is told to end, others come afterwards.
    let waiting = manager.zimg("waiting.png");
    wait_until("it waits", || manager.client().status().unwrap().queued == 1);
    first.signal(Signal::SIGTERM);
    let log = || fs::read_to_string(manager.folder.path().join("log")).unwrap();
    wait_until("it has heard", || log().contains("event=\"shutdown_started\""));
    let late: Vec<_> = (0..4).map(|n| manager.zimg(&format!("late-{n}.png"))).collect();
    let all = late.iter().chain([&waiting]).map(|zimg| i32::try_from(zimg.id()).unwrap());
    assert!(all.map(Pid::from_raw).all(lives), "none is turned away");

    // The running image is finished, and then the next service has them all.
    File::create(manager.folder.path().join("gate")).unwrap();
    assert_eq!(finish(running).unwrap().len(), 1);
    assert!(first.0.wait().unwrap().success());
    let _second = manager.start(&worker);
    let said = generated(waiting);
    late.into_iter().for_each(|zimg| drop(generated(zimg)));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("zimaged is shutting down; waiting\n"), "{said}");
    assert_eq!(manager.client().status().unwrap().done, 5);
}

#[test]
fn a_job_that_no_daemon_takes_over_is_returned_as_busy() {
    let manager = Manager::new();
    let worker = mock_worker(manager.folder.path(), "hold@step:2;");
    let mut only = manager.start(&worker);
    let mut running = manager.client().generate(draw()).unwrap();
    while !matches!(running.next(), Some(Ok(Update::Step(step))) if step.step == 2) {}
    let waiting = manager.zimg("waiting.png");
    wait_until("it waits", || manager.client().status().unwrap().queued == 1);
    fs::remove_file(manager.socket()).unwrap();
    only.signal(Signal::SIGTERM);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(Kind::Busy.exit_code())));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("zimg: zimaged is shutting down"), "{said}");
    File::create(manager.folder.path().join("gate")).unwrap();
    assert_eq!(finish(running).unwrap().len(), 1);
    assert!(only.0.wait().unwrap().success());
}
