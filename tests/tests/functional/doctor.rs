//! `zimg doctor`, with a daemon and without one.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use zimg_tests::{Daemon, program};

/// What the doctor found: exit code, lines, and the last words.
struct Found {
    code: Option<i32>,
    text: String,
    said: String,
}

impl Found {
    fn by(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), text: text(&output.stdout), said: text(&output.stderr) }
    }

    /// The line about a thing, without its columns, and the one below it.
    fn line(&self, level: &str, topic: &str) -> (String, String) {
        let mut lines = self.text.lines();
        let line = lines.find(|line| {
            let mut words = line.split_whitespace();
            (words.next(), words.next()) == (Some(level), Some(topic))
        });
        assert!(line.is_some(), "no {level} {topic} in\n{}{}", self.text, self.said);
        let below = lines.next().unwrap_or_default().trim();
        let rest = line.unwrap().split_once(topic).unwrap().1;
        (rest.trim().to_owned(), below.trim_start_matches("→ ").to_owned())
    }
}

/// A doctor where there is no daemon, in a home of its own with this configuration for one.
fn alone(home: &Path, config: &str) -> Command {
    let folder = home.join(".config/zimaged");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("zimaged.toml"), config).unwrap();
    let mut command = Command::new(program("zimg"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZIMAGED_") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", home)
        .env("ZIMG_SOCKET", home.join("no-daemon"))
        .env("ZIMG_CONFIG", "")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_RUNTIME_DIR")
        .arg("doctor");
    command
}

#[test]
fn a_daemon_that_is_well_passes() {
    let daemon = Daemon::ready("");
    let found = Found::by(&mut daemon.zimg(&["doctor"]));
    assert_eq!((found.code, &*found.said), (Some(0), ""), "{}", found.text);
    assert!(found.line("ok", "daemon").0.starts_with("ready, pid "), "{}", found.text);
    let socket = found.line("ok", "socket").0;
    assert!(socket.starts_with(&daemon.socket().display().to_string()), "{socket}");
    // Its own options and environment are looked at, not the doctor's.
    let worker = daemon.folder().join("worker");
    let worker = format!("at {}", worker.display());
    assert!(found.text.contains(&worker), "{worker} is not in {}", found.text);
    let disk = found.text.lines().find(|line| line.contains(" disk ")).unwrap();
    assert!(disk.contains(&daemon.folder().join("state").display().to_string()), "{disk}");
    assert_eq!(found.line("ok", "model").0, "tiny, the built-in one");
    assert!(found.text.lines().last().unwrap().contains(" checks: "), "{}", found.text);
    daemon.end();
}

#[test]
fn without_a_daemon_it_says_what_to_type_and_looks_on() {
    let home = tempfile::tempdir().unwrap();
    let found = Found::by(&mut alone(home.path(), "device = 'cpu'"));
    assert_eq!(found.code, Some(69), "{}", found.text);
    let (text, fix) = found.line("FAIL", "daemon");
    assert!(text.starts_with("no daemon runs: there is no socket at "), "{text}");
    assert!(fix.starts_with("start it with `zimaged --socket "), "{fix}");
    // The programs are beside it, with the worker and its libtorch.
    let own = program("zimaged").display().to_string();
    assert!(found.line("ok", "zimaged").0.ends_with(&own), "{}", found.text);
    assert!(found.line("ok", "worker").0.contains("zimage-worker"), "{}", found.text);
    assert!(found.line("ok", "libtorch").0.contains("/lib"), "{}", found.text);
    let config = home.path().join(".config/zimaged/zimaged.toml").display().to_string();
    assert_eq!(found.line("ok", "settings").0, config);
    assert_eq!(found.line("ok", "gpu").0, "not used: `device` is cpu");
    assert!(found.said.starts_with("zimg: 1 of "), "{}", found.said);
    assert!(found.said.contains(" checks failed: daemon"), "{}", found.said);
}

#[test]
fn wrong_settings_and_damaged_checkpoints_are_78() {
    let home = tempfile::tempdir().unwrap();
    let found = Found::by(&mut alone(home.path(), "modle = 'tiny'"));
    assert_eq!(found.code, Some(78), "{}", found.text);
    let (text, _) = found.line("FAIL", "settings");
    assert!(text.contains("zimaged.toml: line 1: unknown field `modle`"), "{text}");
    let model = home.path().join("turbo");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("model_index.json"), r#"{"_class_name": "ZImagePipeline"}"#).unwrap();
    let config = format!("model = '{}'", model.display());
    let found = Found::by(&mut alone(home.path(), &config));
    assert_eq!(found.code, Some(78), "{}", found.text);
    let (text, fix) = found.line("FAIL", "model");
    assert_eq!(text, format!("{}/transformer/config.json is missing", model.display()));
    assert!(!fix.is_empty());
    let json = Found::by(alone(home.path(), &config).arg("--json"));
    let last = json.text.lines().last().unwrap();
    assert!(last.contains("\"event\":\"failed\",\"kind\":\"config\",\"code\":78"), "{last}");
    assert!(json.text.lines().all(|line| line.starts_with("{\"v\":1,\"event\":")));
}

#[test]
fn a_worker_without_its_libraries_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let worker = home.path().join("worker");
    let text = "#!/bin/sh\n\
                echo \"$0: error while loading shared libraries: libtorch_cpu.so: cannot open\" >&2\n\
                exit 127\n";
    fs::write(&worker, text).unwrap();
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("worker = '{}'", worker.display());
    let found = Found::by(&mut alone(home.path(), &config));
    assert_eq!(found.code, Some(78), "{}", found.text);
    let (text, fix) = found.line("FAIL", "worker");
    assert!(text.contains("error while loading shared libraries"), "{text}");
    assert!(fix.contains("make libtorch"), "{fix}");
}

#[test]
fn processes_that_hold_gpu_memory_are_named() {
    let home = tempfile::tempdir().unwrap();
    let smi = home.path().join("nvidia-smi");
    let text = "#!/bin/sh\n\
                case $1 in\n\
                *query-gpu*) echo '580.159.04, 60000, 81559, NVIDIA H100 80GB HBM3' ;;\n\
                *) echo '7, 59000, /usr/bin/python3' ;;\n\
                esac\n";
    fs::write(&smi, text).unwrap();
    fs::set_permissions(&smi, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap());
    let found = Found::by(alone(home.path(), "").env("PATH", path));
    let memory = found.line("ok", "memory").0;
    assert_eq!(memory, "22.6 GB of 85.5 GB are free; python3 (7) has 61.9 GB");
    assert!(found.text.contains("NVIDIA H100 80GB HBM3, driver "), "{}", found.text);
}
