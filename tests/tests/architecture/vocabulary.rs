//! Retired words: `docs/glossary.md` has the terms that replace them, and this test keeps the old
//! words out of sources, docs and scripts, names in snake case and camel case included.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::top;

/// The words, each with the term to use.
const RETIRED: &[(&str, &str)] = &[
    ("anew", "again, from the start"),
    ("mend", "repair, fix"),
    ("mended", "repaired, fixed"),
    ("mends", "repairs, fixes"),
    ("nobody", "no client, no user, no process"),
    ("overtake", "preempt"),
    ("overtaken", "preempted"),
    ("overtakes", "preempts"),
    ("overtaking", "preemption"),
    ("overtook", "preempted"),
    ("papers", "docs, man pages"),
    ("patience", "timeout"),
    ("rehearsal", "warm-up"),
    ("rehearse", "warm up"),
    ("rehearsed", "warmed up"),
    ("rehearses", "warms up"),
    ("rehearsing", "warm-up"),
    ("somebody", "a client, a user, another process"),
    ("whoever", "the process that, the user who"),
    ("wish", "request, setting"),
    ("wished", "requested"),
    ("wishes", "requests"),
];

/// Folders and files of the repository that are looked at: all text that people read.
const PLACES: &[&str] = &[
    "crates",
    "docs",
    "contrib",
    "systemd",
    "tests",
    ".ci",
    ".github",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Cargo.toml",
    "Makefile",
];

/// Real uses: a file (or a folder, ending in `/`), the word, and why it is right there.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("tests/tests/architecture/vocabulary.rs", "*", "the list itself"),
    ("tests/fuzz/corpus/", "*", "bytes that a fuzzer made"),
    ("tests/fixtures/", "*", "values of the reference"),
    ("contrib/lab/reference/", "*", "prompts of the reference values"),
];

/// The words of a text in lower case: maximal runs of letters, cut where a capital follows a
/// small letter.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut was_small = false;
    for letter in text.chars().chain([' ']) {
        if !letter.is_ascii_alphabetic() || (letter.is_ascii_uppercase() && was_small) {
            found.push(std::mem::take(&mut word));
        }
        if letter.is_ascii_alphabetic() {
            word.push(letter.to_ascii_lowercase());
        }
        was_small = letter.is_ascii_lowercase();
    }
    found.into_iter().filter(|word| !word.is_empty())
}

/// The retired words in a line.
fn retired(line: &str) -> Vec<(&'static str, &'static str)> {
    let known = |word: String| RETIRED.iter().find(|(retired, _)| *retired == word).copied();
    words(line).filter_map(known).collect()
}

/// The files in git, and those that could be added to it, below the places.
fn files() -> Vec<String> {
    let output = Command::new("git")
        .current_dir(top())
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--"])
        .args(PLACES)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Whether a word is a real use in a file; then its place in the list.
fn allowed(file: &str, word: &str) -> Option<usize> {
    let is_for = |place: &str| file == place || (place.ends_with('/') && file.starts_with(place));
    ALLOWED.iter().position(|(place, only, _)| is_for(place) && (*only == "*" || *only == word))
}

#[test]
fn retired_words_do_not_come_back() {
    let (mut seen, mut found, mut used) = (0, Vec::new(), BTreeSet::new());
    for file in files() {
        // What is no text has no words; a file that is deleted but not yet committed neither.
        let Ok(text) = fs::read_to_string(top().join(&file)) else { continue };
        seen += 1;
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        for (line, text) in lines.chain([(0, file.as_str())]) {
            for (word, instead) in retired(text) {
                match allowed(&file, word) {
                    Some(entry) => _ = used.insert(entry),
                    None => found.push(format!("{file}:{line}: {word}: use {instead}")),
                }
            }
        }
    }
    assert!(seen > 400, "only {seen} files were looked at");
    assert!(found.is_empty(), "retired words:\n{}", found.join("\n"));
    let is_single = |at: &usize| !ALLOWED[*at].0.ends_with('/');
    let stale = (0..ALLOWED.len()).filter(is_single).find(|at| !used.contains(at));
    assert!(stale.is_none(), "{:?} is no longer needed", stale.map(|at| ALLOWED[at]));
}

#[test]
fn a_retired_word_is_found_in_prose_and_in_names() {
    for line in ["Nobody waits.", "fn previews_are_wished()", "struct WorkerWish;", "REHEARSED=1"] {
        assert_eq!(retired(line).len(), 1, "{line}");
    }
    for line in ["recommended, amends", "swish", "newspapers", "a new client waits"] {
        assert_eq!(retired(line), [], "{line}");
    }
    assert!(Path::new(&top()).join("docs/glossary.md").is_file());
}
