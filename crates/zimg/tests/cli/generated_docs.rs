//! The man pages and completions in contrib/ and the reference in docs/ are those of the command
//! line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fake::zimg;

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/packaging")
}

/// Names and texts of the files in a folder.
fn texts(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

fn printed(words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = zimg(folder.path()).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_manual_pages_are_those_of_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let status = zimg(folder.path()).args(["man", "."]).status().unwrap();
    assert!(status.success());
    let (made, kept) = (texts(folder.path()), texts(&contrib().join("man")));
    assert!(made.keys().eq(kept.keys()), "run `make docs`");
    for (name, text) in &made {
        assert!(kept[name] == *text, "{name} is out of date: run `make docs`");
    }
    assert!(made["zimg.1"].contains("guidance") && made.contains_key("zimg-redo.1"));
    for said in ["Round an invalid size to the nearest valid one", "while the daemon is busy"] {
        assert!(made["zimg.1"].contains(said) && made["zimg-draw.1"].contains(said), "{said}");
    }
    assert_eq!(printed(&["man"]), made["zimg.1"]);
}

#[test]
fn the_completions_are_those_of_the_options() {
    let kept = texts(&contrib().join("completions"));
    for (shell, name) in [("bash", "zimg.bash"), ("zsh", "_zimg"), ("fish", "zimg.fish")] {
        let made = printed(&["completions", shell]);
        assert!(kept[name] == made, "{name} is out of date: run `make docs`");
        assert!(made.contains("aspect"));
    }
    // After a prompt come options, too.
    let is_command = "    if contains -- \"$argv[1]\" draw redo show";
    assert!(kept["zimg.fish"].contains(is_command), "clap makes another script than it did");
}

#[test]
fn the_reference_is_what_the_commands_print() {
    let pages = texts(&contrib().join("man"));
    let commands = pages.keys().filter_map(|page| page.strip_prefix("zimg-")?.strip_suffix(".1"));
    let mut made = String::new();
    for words in [None].into_iter().chain(commands.map(Some)) {
        let help = printed(&words.into_iter().chain(["--help"]).collect::<Vec<_>>());
        let name = words.map_or("zimg".to_owned(), |word| format!("zimg {word}"));
        made += &format!("\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    }
    let kept = fs::read_to_string(contrib().join("../../docs/reference.md")).unwrap();
    assert!(kept.ends_with(&made), "docs/reference.md is out of date: run `make docs`");
    assert!(made.contains("--aspect") && made.contains("## zimg doctor"));
}

#[test]
fn bash_completes_what_was_begun() {
    let script = format!(
        "source {}/completions/zimg.bash; COMP_WORDS=(zimg re); COMP_CWORD=1; _zimg zimg re zimg; \
         echo \"${{COMPREPLY[*]}}\"; COMP_WORDS=(zimg redo --asp); COMP_CWORD=2; \
         _zimg zimg --asp redo; echo \"${{COMPREPLY[*]}}\"",
        contrib().display()
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "redo\n--aspect\n", "{said}");
}

#[test]
fn a_folder_that_is_not_there_is_73() {
    let folder = tempfile::tempdir().unwrap();
    let output = zimg(folder.path()).args(["man", "none"]).output().unwrap();
    assert_eq!(output.status.code(), Some(73));
}
