//! Rules for sources: lints, first lines, lengths, the oldest Rust, and what may not be in git.

use std::fs;

use crate::{cargo, containing, files, top};

/// The most lines of a source file.
const LINES_MAX: usize = 700;

#[test]
fn every_crate_takes_the_workspaces_lints() {
    for manifest in files(&["crates", "tests"], &["Cargo.toml"]) {
        let text = fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
}

#[test]
fn every_source_begins_with_its_purpose_and_is_short() {
    for path in files(&["crates", "tests"], &[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with its purpose", path.display());
    }
    for path in files(&["crates", "tests", "contrib"], &[".rs", ".py", ".sh", ".cpp", ".cu"]) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_built_in_model_is_small() {
    let weights = files(&["crates/zimage-worker/tiny"], &[".safetensors", ".json"]);
    let bytes: u64 = weights.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes <= 24_000_000, "{bytes} bytes");
}

#[test]
fn no_test_is_ignored_and_no_lint_is_allowed() {
    let words = ["#[al\u{6c}ow(", "#[ig\u{6e}ore", "to\u{64}o!(", "FIX\u{4d}E"];
    let found = containing(&files(&["crates", "tests"], &[".rs"]), &words);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_files_that_every_repository_has_are_there() {
    for name in [
        "README.md",
        "LICENSE",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ] {
        assert!(top().join(name).is_file(), "{name} is missing");
    }
}

#[test]
fn every_package_builds_with_the_oldest_rust_that_is_supported() {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let ours = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    for manifest in files(&["crates", "tests"], &["Cargo.toml"]) {
        let text = fs::read_to_string(&manifest).unwrap();
        let is_ours = text.contains("\nrust-version.workspace = true\n");
        assert!(is_ours || text.contains("[workspace]"), "{}", manifest.display());
    }
    // Clippy's `incompatible_msrv` checks our own code, this what it depends on.
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    let platform = format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = cargo(&["metadata", "--locked", "--offline", "--format-version=1", &platform]);
    let mut seen = 0;
    for version in metadata.split("\"rust_version\":\"").skip(1) {
        let version = version.split('"').next().unwrap();
        seen += 1;
        assert!(minor(version) <= minor(ours), "a dependency needs Rust {version}, {ours} is ours");
    }
    assert!(seen > 50, "only {seen} packages name a version");
}
