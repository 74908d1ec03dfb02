//! `zimg prepare`: a file that is whole or not there, and exit codes.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fake::zimg;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference/plain")
}

fn run(folder: &Path, words: &[&str]) -> Output {
    zimg(folder).arg("prepare").args(words).output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_checkpoint_becomes_one_file_that_verifies_itself() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let words = [model.to_str().unwrap(), "--dtype", "float8", "-o", "m.safetensors"];
    let output = run(folder.path(), &words);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "m.safetensors\n".into()));
    let told = text(&output.stderr);
    assert!(told.contains("preparing plain as float8: "), "{told}");
    assert!(told.contains("ready: zimaged --model m.safetensors --dtype float8\n"), "{told}");
    assert_eq!(names(folder.path()), ["m.safetensors"]);

    let output = run(folder.path(), &["--verify", "m.safetensors"]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(told.starts_with("m.safetensors is whole: plain as float8, "), "{told}");

    let output = run(folder.path(), &words);
    assert_eq!(output.status.code(), Some(73));
    assert!(text(&output.stderr).contains("m.safetensors exists already"));
    let before = fs::read(folder.path().join("m.safetensors")).unwrap();
    let output = run(folder.path(), &[&words[..], &["--force", "-q"]].concat());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(fs::read(folder.path().join("m.safetensors")).unwrap() == before, "it is reproducible");

    let file = OpenOptions::new().write(true).open(folder.path().join("m.safetensors")).unwrap();
    file.write_all_at(b"x", before.len() as u64 / 2).unwrap();
    let output = run(folder.path(), &["--verify", "m.safetensors"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("m.safetensors is damaged: "));
}

#[test]
fn what_cannot_be_prepared_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let model = model.to_str().unwrap();
    for (words, code, said) in [
        (&[model, "-o", "m.bin"][..], 64, "m.bin does not end in .safetensors"),
        (&["tiny", "-o", "m.safetensors"], 64, "tiny is the built-in model"),
        (&[model], 64, "--output"),
        (&["-o", "m.safetensors"], 64, "MODEL"),
        (&[model, "-o", "m.safetensors", "--dtype", "fp8"], 64, "float8"),
        (&[model, "--verify", "m.safetensors"], 64, "cannot be used with"),
        (&["nowhere", "-o", "m.safetensors"], 78, "nowhere does not exist"),
        (&[model, "-o", "no/m.safetensors"], 73, "mkdir -p no"),
        (&["--verify", "m.safetensors"], 78, "m.safetensors is missing"),
    ] {
        let output = run(folder.path(), words);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(said), "{words:?}: {told}");
        assert_eq!(names(folder.path()), [""; 0], "{words:?}");
    }
}

#[test]
fn a_process_that_is_killed_or_interrupted_leaves_nothing() {
    for (signal, code) in [(Signal::SIGKILL, None), (Signal::SIGTERM, Some(143))] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = zimg(folder.path())
            .args(["prepare", "--json", "-o", "m.safetensors"])
            .arg(model())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The first event, or the end of a process that was quicker.
        let mut first = [0];
        let _ = child.stdout.as_mut().unwrap().read(&mut first).unwrap();
        let _ = kill(Pid::from_raw(child.id() as i32), signal);
        let status = child.wait().unwrap();
        let there = names(folder.path());
        if status.success() {
            assert_eq!(there, ["m.safetensors"]);
        } else {
            assert_eq!(status.code(), code);
            assert_eq!(there, [""; 0], "{signal}");
        }
    }
}
