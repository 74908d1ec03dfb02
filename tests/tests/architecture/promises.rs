//! Tests and files that the docs name as what holds a promise.

use std::collections::BTreeSet;
use std::fs;

use crate::{files, top};

/// The names of the tests in a source; a function beside them holds no promise.
fn tests_in(text: &str) -> Vec<String> {
    let mut lines = text.lines().map(str::trim);
    let mut names = Vec::new();
    while lines.any(|line| line == "#[test]") {
        let name = lines.find_map(|line| line.strip_prefix("fn ")?.split('(').next());
        names.extend(name.map(str::to_owned));
    }
    names
}

#[test]
fn a_function_is_no_test() {
    let text = "fn one() {}\n#[test]\n#[expect(clippy::x)]\nfn two() {}\n    #[test]\n    fn three(a: u8) {}\nfn four() {}";
    assert_eq!(tests_in(text), ["two", "three"]);
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let all: BTreeSet<_> = files(&["crates", "tests"], &[".rs"])
        .iter()
        .flat_map(|path| tests_in(&fs::read_to_string(path).unwrap()))
        .collect();
    let (mut tests, mut paths) = (0, 0);
    for page in ["docs/architecture.md", "docs/specification.md"] {
        let text = fs::read_to_string(top().join(page)).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            let is_word =
                code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_word && code.matches('_').count() >= 2 {
                tests += 1;
                assert!(all.contains(code), "{page}: no test {code}");
            } else if ["crates/", "tests/", "contrib/"].iter().any(|top| code.starts_with(top)) {
                paths += 1;
                assert!(top().join(code).exists(), "{page}: no file {code}");
            }
        }
    }
    assert!(tests > 10 && paths > 10, "only {tests} tests and {paths} files were found");
}
