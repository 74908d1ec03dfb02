//! CUDA initialisation before libtorch's own initialisers, with a driver that does not exist.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use zimg_tests::built_worker;

/// A driver that shows no GPU, and says when it is asked and what it finds in the environment.
const DRIVER: &str = r#"
#include <stdio.h>
#include <stdlib.h>

static const char *asked;

__attribute__((constructor)) static void loaded(void) { asked = getenv("ZIMG_TEST"); }

int cuInit(unsigned flags) {
    fprintf(stderr, "cuInit %u %s\n", flags, asked ? asked : "without an environment");
    return 100;
}
"#;

/// No process has this number, so it is no worker's parent.
const NO_PROCESS: &str = "2147483647";

/// The output of a worker with these arguments, whose supervisor does not exist.
fn said(folder: &Path, words: &[&str]) -> String {
    let output = Command::new(built_worker())
        .args(words)
        .env("LD_LIBRARY_PATH", folder)
        .env("ZIMG_TEST", "as it should be")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_driver_is_asked_before_libtorch_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("driver.c");
    fs::write(&source, DRIVER).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([folder.path().join("libcuda.so.1"), source])
        .status();
    assert!(built.unwrap().success());

    let by_hand = "zimage-worker is started by zimaged, not by hand";
    let said = |words: &[&str]| said(folder.path(), words);
    for device in ["cuda:0", "auto"] {
        let early = said(&["--parent-pid", NO_PROCESS, "--device", device]);
        let mut lines = early.lines();
        assert_eq!(lines.next(), Some("cuInit 0 as it should be"), "{early}");
        assert!(lines.next().unwrap().starts_with(by_hand), "{early}");
    }
    assert!(said(&["--parent-pid", NO_PROCESS, "--device", "cpu"]).starts_with(by_hand));
    // Started by hand, by a user who looks what it is.
    assert!(said(&["--device", "cuda:0"]).starts_with("error: "));
}
