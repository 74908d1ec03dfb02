//! Daemon lifecycle: socket, start, shutdown, configuration.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use zimg_client::{Kind, Params, Update, WorkerState};
use zimg_tests::{Daemon, Options, finish, program};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A daemon that is expected to end by itself.
fn zimaged(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(program("zimaged"))
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_RUNTIME_DIR")
        .env("ZIMAGED_STATE_DIR", folder.join("state"))
        .envs(environment.iter().copied())
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_socket_is_for_those_it_is_for() {
    let daemon = Daemon::start("");
    let root = nix::unistd::geteuid().is_root();
    let (socket, folder) = if root { (0o660, 0o750) } else { (0o600, 0o700) };
    assert_eq!(mode(daemon.socket()), socket);
    assert_eq!(mode(daemon.socket().parent().unwrap()), folder);
}

#[test]
fn settings_are_checked_without_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("z.toml");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reference/plain");
    let model = model.to_str().unwrap();
    let text = format!("model = '{model}'\nworker = '/bin/sh'\nsocket = '/s'\n");
    fs::write(&config, &text).unwrap();
    let arguments = ["--check", "--config", config.to_str().unwrap(), "--jobs", "5"];
    let output = zimaged(folder.path(), &arguments, &[("ZIMAGED_DEVICE", "cpu")]);
    assert_eq!((output.status.code(), &*said(&output)), (Some(0), ""));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.starts_with(&format!("# read from {}\n", config.display())), "{shown}");
    let model_line = format!("model = \"{model}\"");
    for line in ["socket = \"/s\"", &model_line, "device = \"cpu\"", "jobs = 5"] {
        assert!(shown.lines().any(|have| have == line), "{line}: {shown}");
    }
    fs::write(&config, text.replace(model, "/m")).unwrap();
    let no_model = zimaged(folder.path(), &arguments, &[]);
    assert_eq!(no_model.status.code(), Some(78));
    let sentence = "zimaged: the checkpoint folder /m does not exist\nhint: `zimg models` lists";
    assert!(said(&no_model).starts_with(sentence), "{}", said(&no_model));
    assert!(!no_model.stdout.is_empty());
    let no_worker = zimaged(folder.path(), &["--check", "--worker", "/nowhere/w"], &[]);
    assert_eq!(no_worker.status.code(), Some(78));
    let sentence = "zimaged: there is no worker at /nowhere/w\nhint: build or install";
    assert!(said(&no_worker).starts_with(sentence), "{}", said(&no_worker));
    fs::write(&config, "modle = 'm'").unwrap();
    let wrong = zimaged(folder.path(), &arguments, &[]);
    assert_eq!(wrong.status.code(), Some(78));
    assert!(said(&wrong).contains("z.toml: line 1: unknown field `modle`"), "{}", said(&wrong));
    assert!(wrong.stdout.is_empty());
}

#[test]
fn what_cannot_be_printed_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    for (redirection, sentence) in [
        (">&-", "standard output is closed, expected one that is open for writing"),
        (">/dev/full", "cannot write to standard output: No space left on device"),
    ] {
        for option in ["--check --device cpu", "--help", "--version"] {
            let line = format!("exec \"$0\" {option} {redirection}");
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).arg(program("zimaged")).env("HOME", folder.path());
            shell.env("ZIMAGED_STATE_DIR", "off");
            let output = shell.output().unwrap();
            let text = said(&output);
            assert_eq!(output.status.code(), Some(74), "{option} {redirection}: {text}");
            assert!(text.contains(sentence), "{option} {redirection}: {text}");
        }
    }
}

#[test]
fn too_few_open_files_are_a_sentence_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 8 && exec \"$0\" --socket \"$1\" --state-dir off"]);
    shell.arg(program("zimaged")).arg(folder.path().join("s")).env("HOME", folder.path());
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let sentence = "8 open files are allowed here (ulimit -n), expected at least 32";
    assert!(said(&output).contains(sentence), "{}", said(&output));
}

#[test]
fn a_second_daemon_is_refused_by_the_firsts_name() {
    let daemon = Daemon::ready("");
    let socket = daemon.socket();
    let output = zimaged(daemon.folder(), &["--socket", socket.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(75));
    let first = format!("another zimaged (process {}) listens at", daemon.pid());
    assert!(said(&output).contains(&first), "{}", said(&output));
    daemon.draw(&Params::new("")).unwrap();
}

#[test]
fn a_killed_daemons_socket_is_taken_over() {
    let mut first = Daemon::start("");
    first.signal(Signal::SIGKILL);
    first.wait();
    assert!(first.socket().exists());
    let socket = Some(first.socket().to_owned());
    let second = Daemon::with(Options { socket, ..Options::default() });
    second.draw(&Params::new("")).unwrap();
}

#[test]
fn a_foreign_listener_and_a_file_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (taken, file) = (folder.path().join("taken.sock"), folder.path().join("file"));
    let _listener = UnixListener::bind(&taken).unwrap();
    fs::write(&file, "mine").unwrap();
    let code = |socket: &Path| {
        zimaged(folder.path(), &["--socket", socket.to_str().unwrap()], &[]).status.code()
    };
    assert_eq!(code(&taken), Some(75));
    assert_eq!(code(&file), Some(73));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(code(&folder.path().join("x".repeat(108))), Some(78));
}

#[test]
fn unknown_settings_are_named_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zimaged.toml");
    fs::write(&file, "model = \"tiny\"\nmodle = \"big\"\n").unwrap();
    let output = zimaged(folder.path(), &["--config", file.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(78));
    let wanted = format!("{}: line 2: unknown field `modle`", file.display());
    assert!(said(&output).contains(&wanted), "{}", said(&output));

    let output = zimaged(folder.path(), &[], &[("ZIMAGED_MODLE", "big")]);
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("ZIMAGED_MODLE"), "{}", said(&output));

    for wrong in [&["--modle", "big"][..], &["--dtype", "int4"], &["--threads", "many"]] {
        assert_eq!(zimaged(folder.path(), wrong, &[]).status.code(), Some(64), "{wrong:?}");
    }
    assert_eq!(zimaged(folder.path(), &["--version"], &[]).status.code(), Some(0));
}

#[test]
fn sigterm_lets_the_running_job_finish() {
    let mut daemon = Daemon::ready("hold@step:2");
    let (mut running, _) = daemon.submit(&Params::new("a fox"));
    while !matches!(running.next(), Some(Ok(Update::Step(step))) if step.step == 2) {}
    let (waiting, _) = daemon.submit(&Params::new("an owl"));
    let mut late = daemon.client();
    daemon.signal(Signal::SIGTERM);
    let failure = finish(waiting).unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    assert_eq!(failure.message, "zimaged is shutting down");
    assert_eq!(late.status().unwrap().workers[0].state, WorkerState::Draining);
    // A new client is told to try again, not that there is no daemon.
    let failure = daemon.draw(&Params::new("a hen")).unwrap_err();
    assert_eq!((failure.kind, &*failure.message), (Kind::Busy, "zimaged is shutting down"));
    daemon.open_gate();
    assert_eq!(finish(running).unwrap().len(), 1);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!daemon.socket().exists());
}

#[test]
fn a_second_signal_gives_the_running_job_up() {
    let mut daemon = Daemon::ready("hold@step:2,deaf");
    let (mut running, _) = daemon.submit(&Params::new("a fox"));
    while !matches!(running.next(), Some(Ok(Update::Step(step))) if step.step == 2) {}
    let (waiting, _) = daemon.submit(&Params::new("an owl"));
    daemon.signal(Signal::SIGINT);
    finish(waiting).unwrap_err();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(finish(running).unwrap_err().kind, Kind::Busy);
    // Even with a worker that does not end by itself.
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn an_idle_or_loading_daemon_ends_at_once() {
    for (mock, ready) in [("", "READY=1"), ("hold@load", "STATUS=loading the model, 25 %")] {
        let mut daemon = Daemon::start(mock);
        daemon.wait_for(ready);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait().code(), Some(0));
        daemon.wait_for("STOPPING=1");
    }
}

#[test]
fn sighup_changes_nothing() {
    let daemon = Daemon::ready("");
    daemon.signal(Signal::SIGHUP);
    daemon.draw(&Params::new("")).unwrap();
}
