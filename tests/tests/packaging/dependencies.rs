//! What zimg is built from, as `Cargo.lock` has it, is what `contrib/dev/deny.toml` accepts. cargo-deny
//! knows more, advisories above all (`contrib/dev/deny.sh`); this asks wherever the tests run.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use spdx::{Expression, LicenseReq, ParseMode};
use toml::{Table, Value};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(file: &str) -> Table {
    fs::read_to_string(top().join(file)).unwrap().parse().unwrap()
}

/// A list in a section of `contrib/dev/deny.toml`.
fn accepted(section: &str, list: &str) -> Vec<Value> {
    let found = read("contrib/dev/deny.toml")[section][list].as_array().unwrap().clone();
    assert!(!found.is_empty());
    found
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The packages in `Cargo.lock`.
fn locked() -> Vec<Value> {
    let packages = read("Cargo.lock")["package"].as_array().unwrap().clone();
    assert!(packages.len() > 200, "only {} packages", packages.len());
    packages
}

/// Name and licence of all packages that a build for Linux is made from.
fn licences() -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .current_dir(top())
        .args(["tree", "--locked", "--workspace", "--all-features", "--edges=all"])
        .args(["--prefix=none", "--no-dedupe", "--format={p}\t{l}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let of = |line: &str| {
        let (package, licence) = line.split_once('\t')?;
        Some((package.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
    };
    lines.lines().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn every_licence_is_accepted_and_every_accepted_one_is_needed() {
    let accepted: BTreeSet<String> =
        accepted("licenses", "allow").iter().map(|name| name.as_str().unwrap().into()).collect();
    let parse = |licence: &str| Expression::parse_mode(licence, ParseMode::LAX).unwrap();
    let may = |requirement: &LicenseReq| accepted.contains(&requirement.to_string());
    let denied = |licence: &str| !parse(licence).evaluate(may);
    assert!(denied("GPL-3.0-only") && denied("MIT AND GPL-3.0-only") && denied("SSPL-1.0"));
    let mut named = BTreeSet::new();
    let licences = licences();
    assert!(licences.len() > 150, "{licences:?}");
    for (package, licence) in licences {
        assert!(!licence.is_empty(), "{package} has no licence");
        assert!(!denied(&licence), "{package} has the licence {licence}");
        named.extend(parse(&licence).requirements().map(|found| found.req.to_string()));
    }
    let useless: Vec<_> = accepted.difference(&named).collect();
    assert!(useless.is_empty(), "nothing has {useless:?}");
}

#[test]
fn everything_comes_from_the_registry_with_its_checksum() {
    for package in locked() {
        let name = text(&package, "name");
        if package.get("source").is_none() {
            assert!(name.starts_with("zim"), "{name} comes from a folder");
            continue;
        }
        let source = text(&package, "source");
        assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        assert_eq!(text(&package, "checksum").len(), 64, "{name} has no checksum");
    }
}

#[test]
fn no_other_library_is_built_in_that_speaks_to_a_network() {
    let banned = accepted("bans", "deny");
    let locked = locked();
    for banned in &banned {
        let name = text(banned, "crate");
        assert!(!name.is_empty());
        assert!(!locked.iter().any(|package| text(package, "name") == name), "{name} is built in");
    }
}

#[test]
fn an_advisory_that_is_borne_has_its_reason_and_still_concerns_us() {
    let codec = concat!("bin", "code");
    let concerned = BTreeMap::from([("RUSTSEC-2024-0436", "paste"), ("RUSTSEC-2025-0141", codec)]);
    let borne = accepted("advisories", "ignore");
    let ids: Vec<_> = borne.iter().map(|advisory| text(advisory, "id")).collect();
    assert!(ids.iter().eq(concerned.keys()), "{ids:?}: say here whom they concern");
    let locked = locked();
    for advisory in &borne {
        assert!(text(advisory, "reason").len() > 80, "{advisory:?} has no reason");
        let name = concerned[text(advisory, "id")];
        assert!(locked.iter().any(|found| text(found, "name") == name), "{name} has gone");
    }
    // What the reason says.
    let manifest = read("Cargo.toml");
    assert_eq!(manifest["workspace"]["dependencies"][codec].as_str(), Some("=1.3.3"));
}
