//! The fuzzers' lock file: another workspace, whose lock no ordinary build brings up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{files, top};

/// The packages of a lock file that are ours, and the names of what they depend on.
fn locked(path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lock: toml::Table = fs::read_to_string(top().join(path)).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter().map(|one| one.as_table().unwrap());
    let name = |text: &str| text.split(' ').next().unwrap().to_owned();
    packages
        .filter(|package| !package.contains_key("source"))
        .map(|package| {
            let all = package.get("dependencies").and_then(|all| all.as_array());
            let all = all.into_iter().flatten().map(|one| name(one.as_str().unwrap()));
            (package["name"].as_str().unwrap().to_owned(), all.collect())
        })
        .collect()
}

/// What a manifest depends on in every build: neither in tests nor in some features alone.
fn needed(manifest: &toml::Table) -> BTreeSet<String> {
    let tables = |table: &toml::Table| {
        ["dependencies", "build-dependencies"].map(|kind| table.get(kind).cloned())
    };
    let targets = manifest.get("target").and_then(|targets| targets.as_table()).cloned();
    let targets = targets.into_iter().flatten().filter_map(|(_, one)| one.as_table().cloned());
    let all = [manifest.clone()].into_iter().chain(targets).flat_map(|table| tables(&table));
    let all = all.flatten().filter_map(|table| table.as_table().cloned()).flatten();
    let is_optional = |one: &toml::Value| one.get("optional") == Some(&toml::Value::Boolean(true));
    all.filter(|(_, one)| !is_optional(one)).map(|(name, _)| name).collect()
}

#[test]
fn the_fuzzers_lock_file_follows_the_crates() {
    let (ours, fuzz) = (locked("Cargo.lock"), locked("tests/fuzz/Cargo.lock"));
    let mut seen = 0;
    for path in files(&["crates", "tests"], &["Cargo.toml"]) {
        let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap();
        let Some(locked) = fuzz.get(name) else { continue };
        seen += 1;
        let needed = needed(&manifest);
        let lacking: Vec<_> = needed.difference(locked).collect();
        let known = ours.get(name).unwrap_or(&needed);
        let surplus: Vec<_> = locked.difference(known).collect();
        assert!(
            lacking.is_empty() && surplus.is_empty(),
            "{name}: tests/fuzz/Cargo.lock lacks {lacking:?} and has {surplus:?} too much: run \
             `cargo metadata --manifest-path tests/fuzz/Cargo.toml` and commit the file"
        );
    }
    assert_eq!(seen, fuzz.len());
    assert!(seen >= 8, "{seen}");
}
