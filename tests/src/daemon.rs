//! Daemon of a test: a zimaged with its own folder, socket, log and worker, ended when it is dropped.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::net::RecvFlags;
use tempfile::TempDir;
use zimg_client::{Client, Failure, Image, Job, Params, Status, Update};

use crate::programs::{faulty_worker, program};
use crate::store::Store;

/// A test that waits longer than this for anything has failed.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Interval for polling what does not notify.
const LOOK: Duration = Duration::from_millis(2);

/// Time without a new line after which the log has all lines.
const LOG_IS_STILL: Duration = Duration::from_millis(50);

/// How to start a daemon.
#[derive(Debug, Default)]
pub struct Options {
    /// The mock worker's scripts (`mock-worker.rs`), one for each start, separated by `;`.
    pub mock: String,
    /// A worker instead of the mock.
    pub worker: Option<PathBuf>,
    /// Where to listen, if not in a folder of its own.
    pub socket: Option<PathBuf>,
    /// Where it keeps detached jobs, if not in a folder that goes with it.
    pub state: Option<PathBuf>,
    /// More environment.
    pub environment: Vec<(String, String)>,
    /// Its standard error, if not a file of its own.
    pub log: Option<OwnedFd>,
    /// What the service manager has stored for it.
    pub store: Store,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    socket: PathBuf,
    child: Child,
    notifications: UnixDatagram,
    heard: Vec<String>,
    store: Store,
}

impl Daemon {
    /// Starts a daemon with the mock worker; it listens when this returns.
    pub fn start(mock: &str) -> Self {
        Self::with(Options { mock: mock.into(), ..Options::default() })
    }

    /// Starts a daemon with the mock worker, which is ready when this returns.
    pub fn ready(mock: &str) -> Self {
        let mut daemon = Self::start(mock);
        daemon.wait_for("READY=1");
        daemon
    }

    /// Starts a daemon; it listens when this returns.
    pub fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notifications = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notifications.set_read_timeout(Some(TIMEOUT)).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let worker = match options.worker {
            Some(worker) => worker,
            None => mock_worker(folder.path(), &options.mock),
        };
        let socket = options.socket.unwrap_or_else(|| folder.path().join("run/zimaged.sock"));
        let state = options.state.unwrap_or_else(|| folder.path().join("state"));
        // Neither the machine's configuration nor the user's own takes part.
        let config = folder.path().join("zimaged.toml");
        File::create(&config).unwrap();
        let mut command = options.store.command(&program("zimaged"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ZIMAGED_") {
                command.env_remove(name);
            }
        }
        let child = command
            .env("HOME", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("RUST_LOG", "info")
            .env("ZIMAGED_STATE_DIR", state)
            .envs(options.environment)
            .arg("--config")
            .arg(config)
            .arg("--socket")
            .arg(&socket)
            .arg("--worker")
            .arg(worker)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(options.log.map_or_else(|| Stdio::from(log), Stdio::from))
            .spawn()
            .unwrap();
        let mut daemon =
            Self { folder, socket, child, notifications, heard: Vec::new(), store: options.store };
        // The first thing it says to a service manager comes after it listens.
        daemon.wait_for("STATUS=");
        daemon
    }

    /// Waits until the daemon has told its service manager something that begins like this.
    pub fn wait_for(&mut self, beginning: &str) {
        while !self.heard.iter().any(|line| line.starts_with(beginning)) {
            let said = self.store.hear(&self.notifications, RecvFlags::empty());
            let said = said.unwrap_or_else(|error| {
                panic!("no {beginning} after {:?}: {error}\n{}", self.heard, self.log())
            });
            self.heard.extend(said.lines().map(str::to_owned));
        }
    }

    /// The same, but only what is said from now on counts.
    pub fn wait_for_next(&mut self, beginning: &str) {
        self.heard.retain(|line| !line.starts_with(beginning));
        self.wait_for(beginning);
    }

    /// Whether the daemon has told its service manager something that begins like this, as far as
    /// a `wait_for` has listened.
    pub fn has_heard(&self, beginning: &str) -> bool {
        self.heard.iter().any(|line| line.starts_with(beginning))
    }

    /// What its service manager has stored so far.
    pub fn store(&mut self) -> &mut Store {
        while let Ok(said) = self.store.hear(&self.notifications, RecvFlags::DONTWAIT) {
            self.heard.extend(said.lines().map(str::to_owned));
        }
        &mut self.store
    }

    /// Ends it as a service manager does before it starts the next: what is stored then.
    pub fn stop(&mut self) -> Store {
        self.signal(Signal::SIGTERM);
        self.wait();
        std::mem::take(self.store())
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its folder, for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far: the log has a thread of its own, so lines of what a client has
    /// seen may be on their way, and are waited for until none comes.
    pub fn log(&self) -> String {
        let read = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let mut log = read();
        loop {
            thread::sleep(LOG_IS_STILL);
            let now = read();
            if now.len() == log.len() {
                return now;
            }
            log = now;
        }
    }

    /// Lets the mock worker go on where it holds or hangs.
    pub fn open_gate(&self) {
        File::create(self.folder.path().join("gate")).unwrap();
    }

    /// Waits until the mock worker holds, and says in which phase.
    pub fn held(&self) -> String {
        let held = self.folder.path().join("held");
        wait_until("the mock worker holds", || held.exists());
        let phase = fs::read_to_string(&held).unwrap();
        fs::remove_file(held).unwrap();
        phase
    }

    /// The times of the steps that the mock worker has reported, if its script says `stamps`: job,
    /// image, step, nanoseconds since 1970.
    pub fn stamps(&self) -> Vec<(u64, u32, u32, u128)> {
        let stamps = fs::read_to_string(self.folder.path().join("stamps")).unwrap_or_default();
        let parsed = |line: &str| {
            let mut words = line.split(' ');
            let mut number = || words.next()?.parse::<u128>().ok();
            Some((number()? as u64, number()? as u32, number()? as u32, number()?))
        };
        stamps.lines().filter_map(parsed).collect()
    }

    /// The processes that mock workers had so far.
    pub fn workers(&self) -> Vec<Pid> {
        let pids = fs::read_to_string(self.folder.path().join("pids")).unwrap_or_default();
        pids.lines().map(|line| Pid::from_raw(line.parse().unwrap())).collect()
    }

    /// The present worker's process, once there is one.
    pub fn worker(&self) -> Pid {
        let mut worker = None;
        wait_until("there is a worker", || {
            worker = self.status().workers[0].pid;
            worker.is_some()
        });
        Pid::from_raw(i32::try_from(worker.unwrap()).unwrap())
    }

    /// A connection.
    pub fn client(&self) -> Client {
        Client::connect("test 1.0", self.socket()).unwrap()
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.client().status().unwrap()
    }

    /// A job that it has accepted, and how many jobs were before it.
    pub fn submit(&self, draw: &Params) -> (Job, u32) {
        let mut job = self.client().generate(draw).unwrap();
        match job.next() {
            Some(Ok(Update::Accepted { position, .. })) => (job, position),
            other => panic!("not accepted but {other:?}"),
        }
    }

    /// Draws to the end: the images, or why not.
    pub fn draw(&self, draw: &Params) -> Result<Vec<Image>, Failure> {
        finish(self.client().generate(draw)?)
    }

    /// A command line of `zimg` that talks to this daemon.
    pub fn zimg(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("zimg"));
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("ZIMG_SOCKET", self.socket())
            .env("ZIMG_CONFIG", "")
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(pid(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it, checks that it ends well and that no worker is left.
    pub fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
        self.is_gone();
    }

    /// Waits until no worker is left of a daemon that has ended.
    pub fn is_gone(&self) {
        let daemon = self.pid();
        wait_until("no worker is left", || workers_of(daemon).is_empty());
    }

    /// Descriptors that it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The most memory it has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.kernels_word("VmHWM:")
    }

    /// The memory it has, in bytes.
    pub fn memory(&self) -> u64 {
        self.kernels_word("VmRSS:")
    }

    fn kernels_word(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            let signal = status.ok().and_then(|status| status.signal());
            eprintln!("zimaged's log (ended by signal {signal:?}):\n{}", self.log());
        }
    }
}

/// Waits until something is so, for as long as any test is willing to.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < TIMEOUT, "it never came that {what}");
        thread::sleep(LOOK);
    }
}

/// Whether a process lives: not gone, and not dead and unburied.
pub fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which is in brackets and may have some itself.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    state.flatten().is_some_and(|state| state != 'Z' && state != 'X')
}

/// The processes that live and were started as workers of this daemon, whatever they wrote down.
fn workers_of(daemon: u32) -> Vec<Pid> {
    let of = daemon.to_string();
    let is_its = |pid: Pid| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        arguments.any(|word| word == b"--parent-pid") && arguments.next() == Some(of.as_bytes())
    };
    let names = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    names.map(Pid::from_raw).filter(|pid| is_its(*pid) && lives(*pid)).collect()
}

/// A job's images, or why there are none.
pub fn finish(job: Job) -> Result<Vec<Image>, Failure> {
    let mut images = Vec::new();
    for update in job {
        if let Update::Image(image) = update? {
            images.push(image);
        }
    }
    Ok(images)
}

/// A worker program that is the mock with its script: the daemon passes no such variables on, so
/// a shell script sets them.
pub fn mock_worker(folder: &Path, scripts: &str) -> PathBuf {
    assert!(!scripts.contains('\''), "scripts are quoted");
    let gate = folder.join("gate");
    let exports = format!(
        "export ZIMG_MOCK='{scripts}' ZIMG_MOCK_START=$start ZIMG_MOCK_GATE='{}'",
        gate.display()
    );
    scripted(folder, &exports, &program("mock-worker"))
}

/// The real worker with planted faults (`crates/zimage-worker/src/faults.rs`): those of its first
/// start, `;`, those of its second, and so on.
pub fn faulty_starts(folder: &Path, faults: &str) -> PathBuf {
    assert!(!faults.contains('\''), "faults are quoted");
    let field = format!("echo '{faults};' | cut -d ';' -f $((start + 1))");
    scripted(folder, &format!("ZIMG_FAULTS=$({field}); export ZIMG_FAULTS"), &faulty_worker())
}

/// A shell script that counts its starts, from 0, in `$start`, exports variables and becomes a
/// worker.
fn scripted(folder: &Path, exports: &str, worker: &Path) -> PathBuf {
    let path = folder.join("worker");
    let starts = folder.join("starts");
    let text = format!(
        "#!/bin/sh\n\
         starts='{starts}'\n\
         start=0; [ -e \"$starts\" ] && read -r start < \"$starts\"\n\
         echo $((start + 1)) > \"$starts\"\n\
         {exports}\n\
         exec '{worker}' \"$@\"\n",
        starts = starts.display(),
        worker = worker.display(),
    );
    // By another process: a file that any process has open for writing cannot be run, and what
    // this one has open all those have that other tests are just starting.
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    path
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_worker_is_found_and_a_dead_one_is_not() {
        let daemon = Daemon::ready("");
        let worker = daemon.worker();
        assert_eq!((workers_of(daemon.pid()), daemon.workers()), (vec![worker], vec![worker]));
        daemon.signal(Signal::SIGSTOP);
        kill(worker, Signal::SIGKILL).unwrap();
        wait_until("it is dead", || !lives(worker));
        assert_eq!(workers_of(daemon.pid()), []);
        daemon.signal(Signal::SIGCONT);
    }
}
