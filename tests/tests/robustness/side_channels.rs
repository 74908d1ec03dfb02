//! Side channels that fail: standard error of each program, at each phase. The work goes on, and what
//! was lost is counted.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs::{self, File};
use std::io::pipe;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use zimage_ipc::Report;
use zimg_client::Params;
use zimg_tests::{Daemon, Options, Worker, built_worker, faulty_worker, program, wait_until};

/// A log that has a fault from the start, or gets it later.
struct Log {
    what: &'static str,
    /// What the program gets.
    end: OwnedFd,
    /// What has to go for the fault, or to be filled.
    other: Option<OwnedFd>,
    filled: bool,
}

impl Log {
    /// All of them, in good order where they can be.
    fn all() -> Vec<Self> {
        let log = |what, end, other: Option<OwnedFd>| Self { what, end, other, filled: false };
        let (reader, writer) = pipe().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let terminal = openpty(None, None).unwrap();
        let mut logs = vec![
            log("a pipe whose reader goes", writer.into(), Some(reader.into())),
            log("a socket whose other end goes", theirs.into(), Some(ours.into())),
            log("a terminal that hangs up", terminal.slave, Some(terminal.master)),
        ];
        for (what, flag) in [
            ("a pipe that is not read", OFlags::empty()),
            ("a pipe that does not block and is not read", OFlags::NONBLOCK),
        ] {
            let (reader, writer) = pipe().unwrap();
            fcntl_setfl(&writer, fcntl_getfl(&writer).unwrap() | flag).unwrap();
            logs.push(Self { filled: true, ..log(what, writer.into(), Some(reader.into())) });
        }
        logs
    }

    /// Those that cannot be in good order.
    fn broken() -> Vec<Self> {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let unwritable = File::open(program("zimg")).unwrap();
        let log = |what, end: File| Self { what, end: end.into(), other: None, filled: false };
        let mut logs = Self::all();
        logs.iter_mut().for_each(Self::break_it);
        logs.extend([log("a full disk", full), log("not open for writing", unwritable)]);
        logs
    }

    /// Breaks it.
    fn break_it(&mut self) {
        if !self.filled {
            drop(self.other.take());
            return;
        }
        let flags = fcntl_getfl(&self.end).unwrap();
        fcntl_setfl(&self.end, flags | OFlags::NONBLOCK).unwrap();
        // The program writes, too.
        for _ in 0..2 {
            while rustix::io::write(&self.end, &[b'x'; 4096]).is_ok() {}
        }
        fcntl_setfl(&self.end, flags).unwrap();
    }

    fn for_program(&self) -> OwnedFd {
        self.end.try_clone().unwrap()
    }
}

fn image() -> Params {
    Params { width: Some(64), height: Some(64), seed: Some(7), ..Params::new("a fox") }
}

fn daemon(log: &Log) -> Daemon {
    // As a service under systemd has it.
    let environment = vec![("JOURNAL_STREAM".to_owned(), "1:1".to_owned())];
    Daemon::with(Options { log: Some(log.for_program()), environment, ..Options::default() })
}

#[test]
fn zimaged_outlives_a_log_that_is_broken_from_the_start() {
    for log in Log::broken() {
        let mut daemon = daemon(&log);
        daemon.wait_for("READY=1");
        assert_eq!(daemon.draw(&image()).unwrap().len(), 1, "{}", log.what);
        let lost = daemon.client().overview().unwrap().counters.log_lines_lost;
        // What waits in the queue for a pipe that is not read is not lost yet.
        assert!(lost > 0 || log.filled, "{}: {lost}", log.what);
        daemon.end();
    }
}

#[test]
fn zimaged_outlives_a_log_that_breaks_while_it_runs_or_ends() {
    for before_the_end in [false, true] {
        for mut log in Log::all() {
            let mut daemon = daemon(&log);
            daemon.wait_for("READY=1");
            if !before_the_end {
                log.break_it();
            }
            assert_eq!(daemon.draw(&image()).unwrap().len(), 1, "{}", log.what);
            log.break_it();
            let begun = Instant::now();
            daemon.end();
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", log.what);
        }
    }
}

#[test]
fn zimaged_outlives_a_log_file_that_reaches_its_limit_and_says_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = File::create(&path).unwrap();
    let mut daemon = Daemon::with(Options { log: Some(log.into()), ..Options::default() });
    daemon.wait_for("READY=1");
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let limit = |current| {
        let limit = Rlimit { current, maximum: None };
        prlimit(pid, Resource::Fsize, limit).unwrap();
    };
    limit(Some(10));
    assert_eq!(daemon.draw(&image()).unwrap().len(), 1);
    wait_until("lines are lost", || {
        daemon.client().overview().unwrap().counters.log_lines_lost > 0
    });
    limit(None);
    daemon.draw(&image()).unwrap();
    let lost = || {
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().find(|line| line.contains("event=\"log_lines_lost\""))?;
        let (_, lines) = line.split_once(" lines=")?;
        lines.split(' ').next()?.parse::<u64>().ok()
    };
    wait_until("what was lost is reported", || lost().is_some());
    assert_eq!(lost(), Some(daemon.client().overview().unwrap().counters.log_lines_lost));
    daemon.end();
}

#[test]
fn a_worker_outlives_its_log_at_each_phase() {
    for log in Log::broken() {
        let mut worker = Worker::logging_to(log.for_program());
        let run = worker.draw(1, &image(), None);
        assert_eq!(run.images.len(), 1, "{}", log.what);
        assert!(worker.end().success(), "{}", log.what);
    }
    for mut log in Log::all() {
        let mut worker = Worker::logging_to(log.for_program());
        log.break_it();
        let run = worker.draw(1, &image(), None);
        assert_eq!(run.images.len(), 1, "{}", log.what);
        assert!(worker.end().success(), "{}", log.what);
    }
}

/// What a worker has to say last, it says into a log that broke since its last image.
#[test]
fn a_worker_ends_as_it_should_when_its_log_breaks_before_the_end() {
    let arguments = ["--device", "cpu", "--warmup", "64x64"];
    for (fault, status) in [("", Some(0)), ("dead@start", Some(71)), ("panic@start", None)] {
        for mut log in Log::all() {
            let program = faulty_worker();
            let planted = [("ZIMG_FAULTS", fault)];
            let mut worker = Worker::launch(&program, &planted, &arguments, log.for_program());
            let begun = Instant::now();
            log.break_it();
            if fault.is_empty() {
                assert_eq!(worker.end().code(), status, "{}", log.what);
            } else {
                let run = worker.draw(1, &image(), None);
                let fatal = matches!(run.end, Some(Report::Fatal(_)));
                assert_eq!(fatal, status.is_some(), "{}: {fault}: {:?}", log.what, run.end);
                assert_eq!(worker.wait().code(), status, "{}: {fault}", log.what);
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{}: {fault}", log.what);
        }
    }
}

/// A standard error that was closed before the program began.
#[test]
fn no_program_needs_a_standard_error() {
    let closed = |program: &Path| {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let text = format!("#!/bin/sh\nexec '{}' \"$@\" 2>&-\n", program.display());
        let write = "printf '%s' \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let wrote = Command::new("/bin/sh").args(["-c", write]).arg(&script).arg(text).status();
        assert!(wrote.unwrap().success());
        (folder, script)
    };
    let (_folder, worker) = closed(&built_worker());
    let mut daemon = Daemon::with(Options { worker: Some(worker), ..Options::default() });
    daemon.wait_for("READY=1");
    let (_folder, zimg) = closed(&program("zimg"));
    let mut command = Command::new(zimg);
    command.current_dir(daemon.folder()).env("ZIMG_SOCKET", daemon.socket()).env("ZIMG_CONFIG", "");
    command.args(["a fox", "--size", "64x64", "--seed", "7", "-o", "a.png"]);
    assert!(command.status().unwrap().success());
    assert!(daemon.folder().join("a.png").exists());
    command.args(["--size", "63x63"]);
    assert_eq!(command.status().unwrap().code(), Some(64));
    daemon.end();
    let (_folder, zimaged) = closed(&program("zimaged"));
    assert_eq!(Command::new(zimaged).arg("--keep").status().unwrap().code(), Some(64));
}

#[test]
fn whatever_a_worker_prints_is_a_line_of_the_log_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let mock = zimg_tests::mock_worker(folder.path(), "");
    let script = folder.path().join("noisy");
    let text = format!(
        "#!/bin/sh\n\
         printf '\\033[2J\\0\\377 no newline' >&2\n\
         head -c 3000000 /dev/zero | tr '\\0' y >&2\n\
         head -c 3000000 /dev/zero\n\
         yes | head -n 20000 >&2\n\
         exec '{}' \"$@\"\n",
        mock.display()
    );
    // By another process, as in `zimg_tests`: a file that is open for writing cannot be run.
    let write = "printf '%s' \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let wrote = Command::new("/bin/sh").args(["-c", write]).arg(&script).arg(&text).status();
    assert!(wrote.unwrap().success());
    let mut daemon = Daemon::with(Options { worker: Some(script), ..Options::default() });
    daemon.wait_for("READY=1");
    assert_eq!(daemon.draw(&image()).unwrap().len(), 1);
    let log = daemon.log();
    assert!(log.contains("no newline") && !log.contains('\u{1b}') && !log.contains('\0'));
    assert!(log.lines().all(|line| line.len() < 16 << 10));
    daemon.end();
}

#[test]
fn a_worker_goes_on_printing_when_its_supervisor_is_stopped() {
    // Stopped with a pipe that is full, it would make the worker wait in every line.
    let (reader, writer) = pipe().unwrap();
    let mut log = Log { what: "", end: writer.into(), other: Some(reader.into()), filled: true };
    let mut worker = Worker::logging_to(log.for_program());
    log.break_it();
    let begun = Instant::now();
    for number in 1..=3 {
        assert_eq!(worker.draw(number, &image(), None).images.len(), 1);
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert!(worker.end().success());
}

fn zimg(daemon: &Daemon, arguments: &[&str], log: &Log) -> Output {
    daemon.zimg(arguments).stderr(log.for_program()).stdout(Stdio::piped()).output().unwrap()
}

#[test]
fn zimg_delivers_the_image_whatever_becomes_of_standard_error() {
    let daemon = Daemon::ready("");
    for arguments in [
        &["a fox", "--size", "64x64", "--seed", "7", "-o", "a.png", "--force"][..],
        &["a fox", "--size", "64x64", "-n", "3", "--seed", "7", "-o", "a{seed}.png", "--force"],
        &["a fox", "--size", "64x64", "--seed", "7", "-o", "a.png", "--force", "--json"],
        &["a fox", "--size", "64x64", "--seed", "7", "-o", "a.png", "--force", "--preview=blocks"],
    ] {
        for log in Log::broken() {
            let files = || {
                let folder = fs::read_dir(daemon.folder()).unwrap();
                let paths = folder.map(|entry| entry.unwrap().path());
                paths.filter(|path| path.extension().is_some_and(|e| e == "png")).collect()
            };
            let old: Vec<PathBuf> = files();
            old.iter().for_each(|path| fs::remove_file(path).unwrap());
            let output = zimg(&daemon, arguments, &log);
            assert!(output.status.success(), "{}: {arguments:?}: {output:?}", log.what);
            let count = if arguments.contains(&"-n") { 3 } else { 1 };
            assert_eq!(files().len(), count, "{}: {arguments:?}", log.what);
        }
    }
    daemon.end();
}

/// What zimg does last, by the phase that the worker holds in while the log breaks.
#[derive(Clone, Copy, Debug)]
enum LastAct {
    /// Saves the image, and says so.
    Save,
    /// Sums up a batch.
    SumUp,
    /// Is cancelled.
    Cancel,
    /// Loses the daemon.
    LoseDaemon,
}

#[test]
fn zimg_ends_as_it_should_when_standard_error_breaks_before_the_end() {
    use LastAct::{Cancel, LoseDaemon, Save, SumUp};
    let draw = ["a fox", "--size", "64x64", "--seed", "7", "-o", "1.png"];
    let batch = ["--batch", "l", "--size", "64x64", "--seed", "7", "-o", "{index}.png"];
    for (act, hold, status) in [
        (Save, "hold@sent", 0),
        (SumUp, "hold@sent", 0),
        (Cancel, "hold@step:1", 130),
        (LoseDaemon, "hold@step:1", 70),
    ] {
        for (mut log, json) in Log::all().into_iter().zip([false, true].into_iter().cycle()) {
            let mut daemon = Daemon::ready(hold);
            fs::write(daemon.folder().join("l"), "a fox\n").unwrap();
            let mut zimg = daemon.zimg(if matches!(act, SumUp) { &batch } else { &draw });
            zimg.args(json.then_some("--json"));
            let mut zimg = zimg.stderr(log.for_program()).stdout(Stdio::null()).spawn().unwrap();
            daemon.held();
            log.break_it();
            let begun = Instant::now();
            match act {
                Save | SumUp => daemon.open_gate(),
                Cancel => signal(&zimg, Signal::SIGINT),
                LoseDaemon => {
                    daemon.signal(Signal::SIGKILL);
                    daemon.wait();
                }
            }
            let name = format!("{act:?}, json {json}, {}", log.what);
            assert_eq!(zimg.wait().unwrap().code(), Some(status), "{name}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{name}");
            assert_eq!(daemon.folder().join("1.png").exists(), status == 0, "{name}");
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn zimg_ends_with_the_status_of_its_failure_whatever_becomes_of_standard_error() {
    let daemon = Daemon::ready("");
    for log in Log::broken() {
        let refused = zimg(&daemon, &["a fox", "--size", "63x63", "-o", "b.png"], &log);
        assert_eq!(refused.status.code(), Some(65), "{}", log.what);
        let misspelt = zimg(&daemon, &["--sed", "1"], &log);
        assert_eq!(misspelt.status.code(), Some(64), "{}", log.what);
    }
    daemon.end();
}

#[test]
fn a_terminal_that_is_not_read_does_not_keep_the_image_back() {
    let daemon = Daemon::ready("");
    let terminal = openpty(None, None).unwrap();
    // Stopped, as by Ctrl-S, with some room left.
    rustix::io::write(&terminal.slave, &[b'x'; 1000]).unwrap();
    let mut zimg = daemon.zimg(&["a fox", "--size", "512x512", "-n", "9", "--preview=blocks"]);
    zimg.args(["--steps", "50", "--seed", "1", "-o", "t{seed}.png", "--show=blocks"]);
    let status = zimg.stderr(terminal.slave.as_fd().try_clone_to_owned().unwrap()).status();
    assert!(status.unwrap().success());
    assert!(daemon.folder().join("t9.png").exists());
    drop(terminal);
    daemon.end();
}

#[test]
fn standard_output_is_no_side_channel() {
    let daemon = Daemon::ready("");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let (zimg, zimaged) = (program("zimg"), program("zimaged"));
    let cases: [(&PathBuf, &[&str]); 6] = [
        (&zimg, &["--help"]),
        (&zimg, &["--version"]),
        (&zimg, &["status", "--json"]),
        (&zimg, &["metrics"]),
        (&zimg, &["a fox", "--size", "64x64", "-o", "c.png", "--json"]),
        (&zimaged, &["--help"]),
    ];
    for (program, arguments) in cases {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(daemon.folder()).env("ZIMG_SOCKET", daemon.socket());
        let output = command.env("ZIMG_CONFIG", "").stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{arguments:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
    daemon.end();
}

#[test]
fn address_space_that_runs_out_is_told_with_its_limit() {
    let worker = Some(built_worker());
    let mut daemon = Daemon::with(Options { worker, ..Options::default() });
    daemon.wait_for("READY=1");
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let limit = Rlimit { current: Some(400 << 20), maximum: None };
    prlimit(pid, Resource::As, limit).unwrap();
    kill(daemon.worker(), Signal::SIGKILL).unwrap();
    wait_until("the limit is told", || {
        let error = daemon.status().workers[0].last_error.clone().unwrap_or_default();
        error.contains("400 MiB of address space are allowed here (ulimit -v)")
    });
}

#[test]
fn a_kill_that_is_not_for_memory_is_a_signal() {
    let daemon = Daemon::ready("");
    kill(daemon.worker(), Signal::SIGKILL).unwrap();
    wait_until("the signal is told", || {
        let error = daemon.status().workers[0].last_error.clone().unwrap_or_default();
        error.contains("SIGKILL")
    });
    daemon.end();
}
