//! Layouts of other programs, from the daemon's settings to the image.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zimg_tests::{Daemon, Options, built_worker, program};

fn fixture(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let path: PathBuf = root.join(path).canonicalize().unwrap();
    path.display().to_string()
}

/// The options of each layout, as words without dashes, and what the inventory calls it.
fn layouts() -> [(&'static str, Vec<(&'static str, String)>); 3] {
    let tokenizer = || ("tokenizer", fixture("reference/plain/tokenizer"));
    let all_in_one = || fixture("layouts/all-in-one.safetensors");
    let gguf = vec![
        ("model", fixture("layouts/transformer.gguf")),
        ("text_encoder", fixture("layouts/text_encoder.gguf")),
        ("vae", all_in_one()),
        ("model_kind", "turbo".to_owned()),
        tokenizer(),
    ];
    let quantised = vec![
        ("model", fixture("quantised/mixed.safetensors")),
        ("text_encoder", fixture("quantised/text_encoder.safetensors")),
        ("vae", all_in_one()),
        ("model_kind", "turbo".to_owned()),
        tokenizer(),
    ];
    [
        ("all in one file", vec![("model", all_in_one()), tokenizer()]),
        ("files of weights", gguf),
        ("files of weights", quantised),
    ]
}

/// The image of a prompt, by a daemon of this layout.
fn drawn(settings: &[(&str, String)]) -> Vec<u8> {
    let variable = |(name, value): &(&str, String)| {
        (format!("ZIMAGED_{}", name.to_uppercase()), value.clone())
    };
    let mut environment: Vec<_> = settings.iter().map(variable).collect();
    // The model's own size takes seconds on a CPU.
    for (name, value) in [("ZIMAGED_DEVICE", "cpu"), ("ZIMAGED_WARMUP", "64x64")] {
        environment.push((name.to_owned(), value.to_owned()));
    }
    let worker = Some(built_worker());
    let mut daemon = Daemon::with(Options { worker, environment, ..Options::default() });
    daemon.wait_for("READY=1");
    let words = ["a fox", "--size", "64x64", "--steps", "2", "--seed", "3", "-o", "out.png"];
    let output = daemon.zimg(&words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", daemon.log());
    let image = image::open(daemon.folder().join("out.png")).unwrap().to_rgb8();
    assert_eq!(image.dimensions(), (64, 64));
    daemon.end();
    image.into_raw()
}

#[test]
fn a_daemon_draws_from_files_of_other_programs() {
    let images: Vec<_> = layouts().iter().map(|(_, settings)| drawn(settings)).collect();
    assert!(images[0] == images[1], "the GGUF files hold the numbers of the file");
    assert!(images[0] != images[2], "quantised numbers are others");
}

#[test]
fn check_prints_the_inventory_of_each_layout() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("zimaged.toml");
    fs::write(&config, "").unwrap();
    for (layout, settings) in layouts() {
        let mut command = Command::new(program("zimaged"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ZIMAGED_") {
                command.env_remove(name);
            }
        }
        command.env("HOME", home.path()).arg("--config").arg(&config).arg("--check");
        for (name, value) in &settings {
            command.arg(format!("--{}", name.replace('_', "-"))).arg(value);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{text}");
        for begin in ["layout: ", "kind: turbo", "transformer: ", "text encoder: ", "memory: "] {
            assert!(text.lines().any(|line| line.starts_with(&format!("# {begin}"))), "{text}");
        }
        assert!(text.contains(&format!("# layout: {layout}")), "{text}");
        let is_quantised = settings[0].1.ends_with("mixed.safetensors");
        assert_eq!(text.contains("nvfp4"), is_quantised, "{text}");
    }
}
