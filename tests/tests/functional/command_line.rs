//! zimg and zimaged together: what `zimg` adds to the time of an image, and batches against the
//! limits of the daemon.

use std::fs;
use std::time::{Duration, Instant};

use zimg_client::Params;
use zimg_tests::Daemon;

/// What a request may add on a machine that is busy with other tests; alone it is less than a
/// tenth of it, see `docs/specification.md`.
const ROUND_TRIP: Duration = Duration::from_millis(100);

#[test]
fn a_round_trip_adds_little() {
    let daemon = Daemon::ready("");
    let draw = Params { width: Some(64), height: Some(64), steps: Some(1), ..Params::new("a fox") };
    daemon.draw(&draw).unwrap();
    let trip = || {
        let began = Instant::now();
        daemon.draw(&draw).unwrap();
        began.elapsed()
    };
    // The best of many is what the programs add; the others are what the machine was busy with.
    let best = (0..50).map(|_| trip()).min().unwrap();
    println!("a round trip of the mock worker: {best:?}");
    assert!(best < ROUND_TRIP, "{best:?}");
}

#[test]
fn a_whole_command_adds_little() {
    let daemon = Daemon::ready("");
    let trip = |seed: u32| {
        let (name, seed) = (format!("{seed}.png"), seed.to_string());
        let words = ["a fox", "--size=64x64", "--steps=1", "--seed", &seed, "-q", "-o", &name];
        let began = Instant::now();
        let output = daemon.zimg(&words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        began.elapsed()
    };
    let best = (0..20).map(trip).min().unwrap();
    println!("a whole command with the mock worker: {best:?}");
    assert!(best < 2 * ROUND_TRIP, "{best:?}");
}

#[test]
fn the_version_is_printed_at_once() {
    let daemon = Daemon::start("hang@load");
    let trip = || {
        let began = Instant::now();
        assert!(daemon.zimg(&["--version"]).output().unwrap().status.success());
        began.elapsed()
    };
    let best = (0..20).map(|_| trip()).min().unwrap();
    println!("zimg --version: {best:?}");
    assert!(best < ROUND_TRIP, "{best:?}");
}

#[test]
fn a_batch_is_generated_by_a_daemon_that_takes_less_than_it_has() {
    let daemon = Daemon::ready("");
    let lines: String = (1..=30).map(|i| format!("prompt {i}\n")).collect();
    fs::write(daemon.folder().join("prompts"), lines).unwrap();
    let words = ["--batch", "prompts", "--seed=1", "--parallel=16", "-o", "p-{index}-{seed}.ppm"];
    let words = [&words[..], &["--size=64x64"]].concat();
    let output = daemon.zimg(&words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", daemon.log());
    assert!(said.contains("30 images: 30 generated, 0 exist already, 0 failed"), "{said}");
    for seed in 1..=30_u8 {
        let bytes = fs::read(daemon.folder().join(format!("p-{seed}-{seed}.ppm"))).unwrap();
        // The mock generates one colour: the seed.
        assert!(bytes[13..].chunks(3).all(|pixel| pixel == [0, 0, seed]), "image {seed}");
    }
    let again = daemon.zimg(&words).output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("30 images: 0 generated, 30 exist already, 0 failed"), "{said}");
    assert_eq!(daemon.status().done, 30);
}
