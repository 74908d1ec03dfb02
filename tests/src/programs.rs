//! The programs under test, built once with the profile that the tests themselves have.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program of the workspace that needs no libtorch: `zimaged`, `zimg` or `mock-worker`.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["zimaged", "zimg", "zimg-tests"])).join(name)
}

/// The real worker.
pub fn built_worker() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["zimage-worker"])).join("zimage-worker")
}

/// Builds the programs of these packages and says where they are.
fn build(packages: &[&str]) -> PathBuf {
    // …/target/<profile>/deps/<test>
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(other) => other,
        None => panic!("{} names no profile", folder.display()),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["build", "--quiet", "--bins", "--profile", profile, "--target-dir"])
        .arg(folder.parent().expect("a profile's folder lies in the target folder"));
    for package in packages {
        command.args(["--package", package]);
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "{packages:?} do not build");
    folder.to_owned()
}
