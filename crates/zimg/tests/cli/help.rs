//! Help and version; and that docs/cli.md has every option and exit code, and no other.

use std::collections::BTreeSet;

use crate::fake::zimg;

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");

fn printed(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = zimg(directory.path()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

/// The words in `text` that begin with `--`.
fn options(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.len() > 3 && word.starts_with("--"))
        .collect()
}

/// The names of the commands that `zimg --help` lists.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let name = |line: &str| line.split_whitespace().next().map(str::to_owned);
    // Further lines of a description stand farther in.
    let lines = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines.filter_map(name).filter(|name| name != "help").collect()
}

#[test]
fn the_manual_has_the_options_that_are_there() {
    let manual = std::fs::read_to_string(MANUAL).unwrap();
    let mut help = printed(&["--help"]);
    for name in commands() {
        help += &printed(&[&name, "--help"]);
    }
    help += &printed(&["config", "show", "--help"]);
    assert_eq!(options(&manual), options(&help));
}

#[test]
fn the_manual_has_the_commands_that_are_there() {
    let manual = std::fs::read_to_string(MANUAL).unwrap();
    let commands = commands();
    assert!(commands.len() > 5, "{commands:?}");
    for name in commands {
        assert!(manual.contains(&format!("\n| `zimg {name}")), "{name} is not in the table");
    }
}

#[test]
fn the_manual_has_the_exit_codes_that_are_there() {
    let manual = std::fs::read_to_string(MANUAL).unwrap();
    let table: BTreeSet<u8> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |")?.0.parse().ok())
        .collect();
    let there = zimg_protocol::Kind::ALL.map(zimg_protocol::Kind::exit_code);
    assert_eq!(table, there.into_iter().chain([0]).collect());
}

#[test]
fn help_and_version_go_to_standard_output() {
    assert_eq!(printed(&["--version"]), concat!("zimg ", env!("CARGO_PKG_VERSION"), "\n"));
    let (short, long) = (printed(&["-h"]), printed(&["--help"]));
    assert!(short.lines().count() <= 78 && short.len() < long.len());
    assert!(short.lines().all(|line| line.chars().count() <= 100));
    assert!(printed(&["status", "--help"]).contains("Usage: zimg status"));
}
