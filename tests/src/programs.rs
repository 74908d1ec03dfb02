//! The programs under test, built once with the profile that the tests themselves have.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program of the workspace: `zimaged`, `zimg`, `zimage-worker` or `mock-worker`.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(name)
}

/// The real worker.
pub fn built_worker() -> PathBuf {
    program("zimage-worker")
}

/// The real worker with faults that can be planted (`crates/zimage-worker/src/faults.rs`), by the
/// environment variable `ZIMG_FAULTS`.
pub fn faulty_worker() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let worker = ["--workspace", "--features", "zimage-worker/faults", "--bin", "faulty-worker"];
    BUILT.get_or_init(|| cargo_build(&worker)).join("faulty-worker")
}

/// Builds all programs and says where they are. All at once, because what is built together
/// shares its dependencies with `cargo test --workspace` and need not build them again.
fn build() -> PathBuf {
    cargo_build(&["--workspace", "--bins"])
}

/// Builds with the profile of the tests, and says where the programs are.
fn cargo_build(what: &[&str]) -> PathBuf {
    // …/target/<profile>/deps/<test>
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(other) => other,
        None => panic!("{} names no profile", folder.display()),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let status = Command::new(cargo)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["build", "--quiet", "--profile", profile])
        .args(what)
        .arg("--target-dir")
        .arg(folder.parent().expect("a profile's folder lies in the target folder"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the programs do not build");
    folder.to_owned()
}
