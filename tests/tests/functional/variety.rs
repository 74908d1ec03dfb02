//! `--variety` through the whole way: option, batch key, worker, metadata and `redo`, with the built-in
//! model.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;

use zimg_tests::{Daemon, Options, built_worker};

fn daemon() -> Daemon {
    let warmup = ("ZIMAGED_WARMUP".to_owned(), "64x64".to_owned());
    Daemon::with(Options {
        worker: Some(built_worker()),
        environment: vec![warmup],
        ..Options::default()
    })
}

/// Runs zimg to its end in the daemon's folder, and returns what it printed.
fn zimg(daemon: &Daemon, words: &[&str]) -> String {
    let output = daemon.zimg(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_image_with_variety_is_recorded_and_drawn_again() {
    let daemon = daemon();
    let draw = |name: &str, words: &[&str]| {
        let common = ["a red circle", "-s64x64", "--steps=4", "--seed=5", "-o", name];
        zimg(&daemon, &[&common, words].concat());
        let pixels = |name: &str| fs::read(daemon.folder().join(name)).unwrap();
        pixels(name)
    };
    let plain = draw("plain.ppm", &[]);
    assert_eq!(draw("off.ppm", &["--variety=0"]), plain);
    let varied = draw("varied.ppm", &["--variety=0.5"]);
    assert_ne!(varied, plain);
    let rare = ["--variety=0.5", "--variety-share=0.25", "--variety-steps=1", "--variety-seed=9"];
    draw("rare.png", &rare);
    let rare = draw("rare.ppm", &rare);
    assert!(rare != varied && rare != plain);
    let shown = zimg(&daemon, &["show", "--json", "rare.png"]);
    for part in [
        r#""variety":0.5"#,
        r#""variety_share":0.25"#,
        r#""variety_steps":1.0"#,
        r#""variety_seed":9"#,
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    zimg(&daemon, &["redo", "rare.png", "-o", "again.ppm"]);
    assert_eq!(fs::read(daemon.folder().join("again.ppm")).unwrap(), rare);
    let text = zimg(&daemon, &["show", "--parameters", "rare.png"]);
    assert!(text.contains("Variety: 0.5, Variety share: 0.25"), "{text}");
    let line = r#"{"prompt":"a red circle","seed":5,"variety":0.5,"output":"batch.ppm"}"#;
    fs::write(daemon.folder().join("prompts.jsonl"), line).unwrap();
    zimg(&daemon, &["--batch", "prompts.jsonl", "-s64x64", "--steps=4"]);
    assert_eq!(fs::read(daemon.folder().join("batch.ppm")).unwrap(), varied);
    daemon.end();
}
