//! Other facts in the docs: settings and batches are understood, variables are read by a program, and
//! files exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use zimg_tests::{Daemon, program};

use crate::markdown::{Block, pages, top};

fn blocks(language: &str) -> Vec<(String, Block)> {
    let all = pages().into_iter().flat_map(|page| {
        let blocks = page.blocks().into_iter();
        blocks.map(move |block| (format!("{}:{}", page.name, block.line), block))
    });
    all.filter(|(_, block)| block.language == language).collect()
}

fn succeeds(command: &mut Command, place: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{place}: {said}");
}

#[test]
fn settings_that_are_shown_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let blocks = blocks("toml");
    for (place, block) in &blocks {
        fs::write(&file, &block.text).unwrap();
        let is_daemons = block.text.contains("zimaged");
        let mut command = Command::new(program(if is_daemons { "zimaged" } else { "zimg" }));
        match is_daemons {
            // The model of the example is not on this machine.
            true => command.args(["--check", "--model", "tiny", "--config"]).arg(&file),
            false => command.args(["config", "show"]).env("ZIMG_CONFIG", &file),
        };
        succeeds(command.env("HOME", folder.path()), place);
    }
    assert!(blocks.len() >= 2, "only {} were looked at", blocks.len());
}

#[test]
fn batches_that_are_shown_are_generated() {
    let daemon = Daemon::ready("");
    let blocks = blocks("json");
    let is_batch = |block: &Block| block.text.lines().all(|line| line.starts_with("{\"prompt\""));
    let batches: Vec<_> = blocks.iter().filter(|(_, block)| is_batch(block)).collect();
    for (place, block) in &batches {
        fs::write(daemon.folder().join("jobs.jsonl"), &block.text).unwrap();
        succeeds(&mut daemon.zimg(&["--batch", "jobs.jsonl", "--force", "-q"]), place);
    }
    assert!(!batches.is_empty());
    daemon.end();
}

/// The sources, in which a name stands that something reads.
fn sources() -> String {
    fn walk(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !matches!(name, "target" | "fixtures" | "tiny" | "docs") {
                walk(&path, text);
            } else if let Ok(more) = fs::read_to_string(&path) {
                *text += &more;
            }
        }
    }
    let mut text = fs::read_to_string(top().join("Makefile")).unwrap();
    for folder in ["crates", "tests", "contrib", "systemd"] {
        walk(&top().join(folder), &mut text);
    }
    text
}

#[test]
fn variables_that_are_named_are_read() {
    let sources = sources();
    let daemons = zimaged::Args::command();
    let daemons = daemons.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned);
    let daemons: BTreeSet<_> = daemons.collect();
    let mut seen = BTreeSet::new();
    // The changelog also has the old names.
    for page in pages().iter().filter(|page| page.name != "CHANGELOG.md") {
        let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
        for word in page.text.split(|c| !is_part(c)) {
            // `ZIMG_…` is any of them.
            let Some((program, name)) = word.split_once('_').filter(|(_, name)| !name.is_empty())
            else {
                continue;
            };
            let option = name.to_lowercase().replace('_', "-");
            let known = match program {
                "ZIMG" => sources.contains(&format!("\\-\\-{}", option.replace('-', "\\-"))),
                // One is only a key and a variable.
                "ZIMAGED" => daemons.contains(&option) || option == "cuda-alloc-conf",
                _ => continue,
            };
            seen.insert(word.to_owned());
            assert!(known || sources.contains(word), "{}: nothing reads {word}", page.name);
        }
    }
    assert!(seen.len() > 20, "only {seen:?}");
}

#[test]
fn files_that_are_named_are_there() {
    let folders = ["crates/", "tests/", "contrib/", "docs/", "systemd/"];
    let mut seen = 0;
    for page in pages() {
        for (span, line) in page.spans() {
            let is_path = folders.iter().any(|folder| span.starts_with(folder));
            if !is_path || span.contains([' ', '*', '{', '…']) {
                continue;
            }
            seen += 1;
            let there = top().join(&span).exists();
            assert!(there, "{}:{line}: there is no {span}", page.name);
        }
    }
    assert!(seen > 50, "only {seen} were looked for");
}
