//! `contrib/packaging/supervisord/zimaged.conf` under a real supervisord, run by the user of the tests.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use zimg_client::{Client, Kind, Params, Update};
use zimg_tests::{finish, lives, mock_worker, program, wait_until};

const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The folder with `supervisord` and `supervisorctl`, installed on the first run.
fn programs() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("supervisord");
    let output = Command::new("contrib/dev/venv.sh")
        .current_dir(TOP)
        .arg("test")
        .arg(&folder)
        .args(["contrib/packaging/supervisord/requirements.txt", "supervisord"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let python = String::from_utf8(output.stdout).unwrap();
    Path::new(python.trim()).parent().unwrap().to_owned()
}

/// The shipped configuration as an ordinary user has to change it: no other user, other places.
fn shipped(folder: &Path) -> String {
    let mut text =
        fs::read_to_string(format!("{TOP}/contrib/packaging/supervisord/zimaged.conf")).unwrap();
    let log = folder.join("zimaged.log");
    for (theirs, ours) in [
        ("@PREFIX@/bin/zimaged", program("zimaged").to_str().unwrap()),
        ("user=zimaged\n", ""),
        ("/var/log/zimaged.log", log.to_str().unwrap()),
        ("\"/var/lib/zimaged\"", folder.join("state").to_str().unwrap()),
    ] {
        assert_eq!(text.matches(theirs).count(), 1, "{theirs}");
        text = text.replace(theirs, ours);
    }
    text
}

struct Supervisord {
    folder: TempDir,
    programs: PathBuf,
    child: Child,
}

impl Supervisord {
    fn start(mock: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (at, programs) = (folder.path(), programs());
        let own = format!(
            "[unix_http_server]\nfile={at}/http.sock\n\
             [supervisord]\nnodaemon=true\nlogfile={at}/supervisord.log\npidfile={at}/pid\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{at}/http.sock\n\
             [include]\nfiles=zimaged.conf\n",
            at = at.display(),
        );
        fs::write(at.join("supervisord.conf"), own).unwrap();
        fs::write(at.join("zimaged.conf"), shipped(at)).unwrap();
        fs::write(at.join("zimaged.toml"), "").unwrap();
        let child = Command::new(programs.join("supervisord"))
            .arg("--configuration")
            .arg(at.join("supervisord.conf"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", at)
            .env("ZIMAGED_CONFIG", at.join("zimaged.toml"))
            .env("ZIMAGED_SOCKET", at.join("zimaged.sock"))
            .env("ZIMAGED_WORKER", mock_worker(at, mock))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let supervisord = Self { folder, programs, child };
        supervisord.wait_for("RUNNING");
        supervisord
    }

    fn control(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("supervisorctl"));
        command.arg("--configuration").arg(self.folder.path().join("supervisord.conf"));
        command.args(arguments);
        command
    }

    /// What it says of zimaged; nothing as long as it does not answer.
    fn says(&self) -> String {
        let output = self.control(&["status", "zimaged"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn wait_for(&self, state: &str) {
        wait_until(state, || self.says().split_whitespace().nth(1) == Some(state));
    }

    /// A connection; the socket of a starting zimaged is there at once or a moment later.
    fn client(&self) -> Client {
        let socket = self.folder.path().join("zimaged.sock");
        let mut client = None;
        wait_until("zimaged listens", || match Client::connect("test 1.0", &socket) {
            Ok(connected) => {
                client = Some(connected);
                true
            }
            Err(failure) => {
                assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
                false
            }
        });
        client.unwrap()
    }

    fn draw(&self) {
        assert_eq!(finish(self.client().generate(draw()).unwrap()).unwrap().len(), 1);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("zimaged.log")).unwrap_or_default()
    }
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        let _ = self.control(&["shutdown"]).output();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn draw() -> Params {
    Params { width: Some(64), height: Some(64), ..Params::new("a fox") }
}

/// Kills a process and waits for its end.
fn kill_hard(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    wait_until("it is dead", || !lives(pid));
}

#[test]
fn supervisord_starts_it_repairs_it_and_lets_it_finish() {
    let supervisord = Supervisord::start(";;;hold@step:2");
    supervisord.draw();

    // A dead worker is zimaged's business, a dead zimaged is supervisord's.
    let first = supervisord.client().status().unwrap();
    kill_hard(first.workers[0].pid.unwrap());
    supervisord.draw();
    let second = supervisord.client().status().unwrap();
    assert_eq!((second.pid, second.workers[0].restarts), (first.pid, 1));
    kill_hard(first.pid);
    supervisord.draw();
    let third = supervisord.client().status().unwrap();
    assert_ne!(third.pid, first.pid);

    supervisord.wait_for("RUNNING");
    let restarted = supervisord.control(&["restart", "zimaged"]).output().unwrap();
    assert!(restarted.status.success(), "{}", String::from_utf8_lossy(&restarted.stdout));
    assert_ne!(supervisord.client().status().unwrap().pid, third.pid);

    // This start's worker holds at its second step: the job is finished before the stop is.
    let mut job = supervisord.client().generate(draw()).unwrap();
    while !matches!(job.next(), Some(Ok(Update::Step(step))) if step.step == 2) {}
    let mut late = supervisord.client();
    let mut stop = supervisord.control(&["stop", "zimaged"]).stdout(Stdio::null()).spawn().unwrap();
    supervisord.wait_for("STOPPING");
    fs::write(supervisord.folder.path().join("gate"), "").unwrap();
    assert_eq!(finish(job).unwrap().len(), 1);
    assert!(stop.wait().unwrap().success());
    supervisord.wait_for("STOPPED");
    assert!(late.status().is_err(), "it has ended");

    let log = supervisord.log();
    assert_eq!(log.matches("event=\"listening\"").count(), 3, "{log}");
    assert_eq!(log.matches("event=\"shutdown_started\"").count(), 2, "{log}");
    assert!(log.contains("event=\"worker_ready\" worker=0"), "{log}");
    let own = fs::read_to_string(supervisord.folder.path().join("supervisord.log")).unwrap();
    assert_eq!(own.matches("stopped: zimaged (exit status 0)").count(), 2, "{own}");
}
