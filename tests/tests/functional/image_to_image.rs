//! `zimg --init` through the whole way: the file's pixels go over the daemon to the mock worker, whose
//! images show exactly what arrived; detached jobs and `redo` give the same.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::fs;
use std::path::Path;

use zimg_tests::Daemon;
use zimg_tests::mock::{colour, coloured};

const SEED: u64 = 0x00a5_5a3c;
const WIDTH: u32 = 96;
const HEIGHT: u32 = 64;

/// Pixels of which no two next to each other are the same, as a PPM and as they are.
fn picture(name: &Path, turn: u8) -> Vec<u8> {
    let rgb: Vec<u8> = (0..3 * WIDTH * HEIGHT).map(|i| ((i * 7) % 251) as u8 ^ turn).collect();
    fs::write(name, [format!("P6\n{WIDTH} {HEIGHT}\n255\n").as_bytes(), &rgb].concat()).unwrap();
    rgb
}

/// Runs zimg to its end in the daemon's folder, and returns what it said.
fn zimg(daemon: &Daemon, code: i32, words: &[&str]) -> String {
    let output = daemon.zimg(words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
    String::from_utf8(output.stdout).unwrap() + &text
}

fn pixels(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let head = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0;
    bytes[head + 1..].to_vec()
}

#[test]
fn the_pixels_of_the_file_reach_the_worker() {
    let daemon = Daemon::ready("");
    let folder = daemon.folder().to_owned();
    let rgb = picture(&folder.join("in.ppm"), 0);
    let seed = SEED.to_string();
    let drawn = |name: &str, words: &[&str]| {
        let common = ["a fox", "--init", "in.ppm", "--seed", &seed, "--strength=0.5", "-o", name];
        zimg(&daemon, 0, &[&common, words].concat());
        pixels(&folder.join(name))
    };
    assert!(drawn("a.ppm", &[]) == coloured(&rgb, None, colour(SEED)));
    let both = ["a fox", "--init", "in.ppm", "--seed", &seed, "-n2", "-o", "{seed}.ppm"];
    zimg(&daemon, 0, &both);
    let second = pixels(&folder.join(format!("{}.ppm", SEED + 1)));
    assert!(second == coloured(&rgb, None, colour(SEED + 1)));
    // Left half black, right half white.
    let row: Vec<u8> = (0..WIDTH).map(|x| if x < WIDTH / 2 { 0 } else { 255 }).collect();
    let mask = row.repeat(HEIGHT as usize);
    let file = [format!("P5\n{WIDTH} {HEIGHT}\n255\n").as_bytes(), &mask].concat();
    fs::write(folder.join("mask.pgm"), file).unwrap();
    let expected = coloured(&rgb, Some(&mask), colour(SEED));
    assert!(drawn("b.ppm", &["--mask=mask.pgm"]) == expected);
    let inverted: Vec<u8> = mask.iter().map(|value| 255 - value).collect();
    let expected = coloured(&rgb, Some(&inverted), colour(SEED));
    assert!(drawn("c.ppm", &["--mask=mask.pgm", "--invert-mask"]) == expected);
    daemon.end();
}

#[test]
fn a_detached_job_has_them_and_is_generated_again_from_the_same_file() {
    let daemon = Daemon::ready("");
    let folder = daemon.folder().to_owned();
    let rgb = picture(&folder.join("in.ppm"), 0);
    let seed = SEED.to_string();
    let words = ["a fox", "--init=in.ppm", "--strength=0.5", "--detach", "--seed", &seed];
    let said = zimg(&daemon, 0, &words);
    let job = said.lines().next().unwrap();
    zimg(&daemon, 0, &["wait", job, "-o", "a.png"]);
    let expected = coloured(&rgb, None, colour(SEED));
    let shown = zimg(&daemon, 0, &["show", "a.png"]);
    assert!(shown.contains("strength  0.5\ninit      in.ppm\n"), "{shown}");
    zimg(&daemon, 0, &["redo", "a.png", "-o", "b.ppm"]);
    assert!(pixels(&folder.join("b.ppm")) == expected);
    // The same name, and another image.
    picture(&folder.join("in.ppm"), 1);
    let said = zimg(&daemon, 65, &["redo", "a.png", "-o", "c.ppm"]);
    assert!(said.contains("in.ppm has changed since a.png was generated from it"), "{said}");
    daemon.end();
}

#[test]
fn a_strength_among_the_settings_is_for_initial_images_alone() {
    let daemon = Daemon::ready("");
    picture(&daemon.folder().join("in.ppm"), 0);
    let draw = |words: &[&str]| {
        let output = daemon.zimg(words).env("ZIMG_STRENGTH", "0.25").output().unwrap();
        output.status.code()
    };
    assert_eq!(draw(&["a fox", "-s64x64", "-o", "plain.png"]), Some(0));
    assert_eq!(draw(&["a fox", "--init=in.ppm", "-o", "usual.png"]), Some(0));
    assert_eq!(draw(&["a fox", "--init=in.ppm", "--strength=0.5", "-o", "own.png"]), Some(0));
    assert_eq!(draw(&["a fox", "-s64x64", "--strength=0.5", "-o", "refused.png"]), Some(65));
    let strength = |name: &str| zimg(&daemon, 0, &["show", name]).contains("strength  0.25\n");
    assert_eq!(["plain.png", "usual.png", "own.png"].map(strength), [false, true, false]);
    daemon.end();
}
