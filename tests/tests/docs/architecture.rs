//! The invariants of `docs/architecture.md`: who may depend on what, and how the sources are kept.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zimg_tests::{built_worker, program};

/// The most lines of a source file.
const LINES_MAX: usize = 700;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
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

/// The lines of these files that say one of these words, as `path:line: text`.
fn saying(files: &[PathBuf], words: &[&str]) -> Vec<String> {
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

/// The names of the packages that a package is built from, itself included.
fn dependencies(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(top())
        .args(["tree", "--locked", "--edges=normal,build", "--prefix=none", "--format={p}"])
        .args(["--package", package])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect();
    assert!(names.contains(&package.to_owned()), "{names:?}");
    names
}

/// The shared libraries that the dynamic loader finds for a program, as it prints them.
fn loaded(program: &Path) -> String {
    let output = Command::new(program).env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
    let libraries = String::from_utf8(output.stdout).unwrap();
    assert!(libraries.contains("libc.so"), "{}: {libraries}", program.display());
    libraries
}

#[test]
fn zimg_and_zimaged_are_built_without_libtorch() {
    let torch = |package| dependencies(package).iter().any(|name| name == "torch-sys");
    assert!(torch("zimage-worker"), "the question itself must be able to say yes");
    for package in ["zimg", "zimg-client", "zimg-protocol", "zimaged"] {
        assert!(!torch(package), "{package} depends on torch-sys");
    }
}

#[test]
fn zimg_and_zimaged_load_no_libtorch() {
    assert!(loaded(&built_worker()).contains("libtorch_cpu.so"));
    for name in ["zimg", "zimaged"] {
        let libraries = loaded(&program(name));
        for library in ["libtorch", "libc10", "libcuda", "libstdc++"] {
            assert!(!libraries.contains(library), "{name} loads {library}:\n{libraries}");
        }
    }
}

#[test]
fn the_worker_links_no_cuda_and_finds_every_library() {
    let libraries = loaded(&built_worker());
    for library in ["libtorch_cuda", "libc10_cuda", "libcuda.so", "not found"] {
        assert!(!libraries.contains(library), "{library}:\n{libraries}");
    }
}

#[test]
fn only_the_protocol_names_its_codec() {
    let codec = concat!("bin", "code");
    let (ours, others): (Vec<_>, Vec<_>) = files(&["crates", "tests"], &[".rs", "Cargo.toml"])
        .into_iter()
        .partition(|path| path.starts_with(top().join("crates/zimg-protocol")));
    assert!(!saying(&ours, &[codec]).is_empty(), "the question itself must be able to say yes");
    let found = saying(&others, &[codec]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_model_knows_no_socket() {
    let names = dependencies("zimage");
    for foreign in ["tokio", "mio", "socket2", "nix", "zimg-protocol", "zimg-client"] {
        assert!(!names.iter().any(|name| name == foreign), "zimage depends on {foreign}");
    }
    let sources = files(&["crates/zimage/src"], &[".rs"]);
    let found = saying(&sources, &["std::net", "unix::net", "tokio", "Socket", "socket"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    for manifest in files(&["crates", "tests"], &["Cargo.toml"]) {
        let text = fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
}

#[test]
fn sources_say_what_they_are_for_and_fit_in_the_head() {
    for path in files(&["crates", "tests"], &[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", path.display());
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
fn nothing_is_put_off_or_silenced() {
    let words = ["#[al\u{6c}ow(", "#[ig\u{6e}ore", "to\u{64}o!(", "FIX\u{4d}E"];
    let found = saying(&files(&["crates", "tests"], &[".rs"]), &words);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_newcomer_finds_the_papers() {
    for name in ["README.md", "LICENSE", "LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"] {
        assert!(top().join(name).is_file(), "{name} is missing");
    }
}

#[test]
fn every_promise_names_a_test_that_there_is() {
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
    assert!(tests > 10 && paths > 10, "only {tests} tests and {paths} files were looked for");
}
