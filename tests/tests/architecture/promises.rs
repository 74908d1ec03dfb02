//! Tests and files that the docs name as what holds a promise.

use std::fs;

use crate::{files, top};

#[test]
fn every_promise_names_a_test_that_exists() {
    let sources: String = files(&["crates", "tests"], &[".rs"])
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let (mut tests, mut paths) = (0, 0);
    for page in ["docs/architecture.md", "docs/specification.md"] {
        let text = fs::read_to_string(top().join(page)).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            let is_word = code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_word && code.matches('_').count() >= 2 {
                tests += 1;
                assert!(sources.contains(&format!("fn {code}(")), "{page}: no test {code}");
            } else if ["crates/", "tests/", "contrib/"].iter().any(|top| code.starts_with(top)) {
                paths += 1;
                assert!(top().join(code).exists(), "{page}: no file {code}");
            }
        }
    }
    assert!(tests > 10 && paths > 10, "only {tests} tests and {paths} files were found");
}
