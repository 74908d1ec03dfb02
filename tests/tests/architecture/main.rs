//! Invariants of `docs/architecture.md`: what may depend on what, and the rules for sources.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod fuzz_lock;
mod imports;
mod linking;
mod promises;
mod sources;
mod vocabulary;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The output of a cargo command in the repository.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(top()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files below these folders that are in git or could be, by suffix.
fn files(folders: &[&str], suffixes: &[&str]) -> Vec<PathBuf> {
    fn walk(folder: &Path, suffixes: &[&str], found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "venv" {
                walk(&path, suffixes, found);
            } else if suffixes.iter().any(|suffix| name.ends_with(suffix)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&top().join(folder), suffixes, &mut found);
    }
    assert!(!found.is_empty(), "nothing is looked at in {folders:?}");
    found
}

/// The lines of these files that contain one of these words, as `path:line: text`.
fn containing(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files {
        for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    found
}
