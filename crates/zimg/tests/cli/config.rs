//! Defaults from the environment and the configuration file.

use std::fs;
use std::process::Command;

use crate::fake::{Fake, requested, zimg};
use crate::schema::Schema;

fn printed(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_nearest_word_wins() {
    let fake = Fake::new(|peer, request| {
        let draw = requested(request);
        assert_eq!((draw.steps, draw.first_seed()), (Some(4), 3));
        assert_eq!((draw.width, draw.height), (Some(80), Some(64)));
        peer.generates(&draw);
    });
    let file = fake.out().join("config.toml");
    let text = "steps = 2\nseed = 3\nsize = \"80x64\"\noutput = \"{seed}.webp\"\nmetadata = false";
    fs::write(&file, text).unwrap();
    let mut zimg = fake.zimg(&["a fox", "--steps", "4"]);
    zimg.env("ZIMG_CONFIG", &file).env("ZIMG_STEPS", "3");
    let ran = fake.finish(zimg.output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.files, ["3.webp", "config.toml"]);
    assert_eq!(ran.text(), "3.webp\n", "a name that was not typed is news");
}

#[test]
fn the_settings_are_told_to_programs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "steps = 4\nshow = true\noutput = \"a \\\"b\\\".png\"\n").unwrap();
    let mut command = zimg(folder.path());
    command.env("ZIMG_CONFIG", &file).env("ZIMG_SIZE", "64x64").args(["config", "show", "--json"]);
    let (code, text, _) = printed(&mut command);
    assert_eq!(code, Some(0));
    let schema = Schema::read();
    assert!(text.lines().all(|line| schema.check(line) == "setting"));
    let line = |key: &str, value: &str, origin: &str| {
        let (head, tail) = (format!("{{\"v\":1,\"event\":\"setting\",\"key\":\"{key}\","), "}\n");
        format!("{head}\"value\":{value},\"origin\":{origin}{tail}")
    };
    let path = format!("\"{}\"", file.display());
    for expected in [
        line("size", "\"64x64\"", "\"ZIMG_SIZE\""),
        line("steps", "4", &path),
        line("show", "true", &path),
        line("output", r#""a \"b\".png""#, &path),
        line("seed", "null", "null"),
    ] {
        assert!(text.contains(&expected), "{expected}{text}");
    }
    for words in [&["config", "path"][..], &["completions", "fish"], &["man"]] {
        let (code, text, told) = printed(zimg(folder.path()).args(words).arg("--json"));
        assert_eq!((code, told.contains("text, not JSON")), (Some(64), true), "{told}");
        assert_eq!(schema.check(text.lines().next().unwrap()), "failed");
    }
}

#[test]
fn the_settings_and_where_they_are_from_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join(".config/zimg");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("config.toml"), "steps = 4\nshow = true\nsocket = \"~/s\"\n").unwrap();
    let run = |words: &[&str]| {
        let mut command = zimg(folder.path());
        command.env_remove("ZIMG_CONFIG").env_remove("XDG_CONFIG_HOME");
        command.env("HOME", folder.path()).env("ZIMG_SIZE", "64x64").args(words);
        printed(&mut command)
    };
    let (code, text, _) = run(&["config", "show"]);
    assert_eq!(code, Some(0));
    let set: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let socket = format!("socket = \"{}/s\"", folder.path().display());
    assert_eq!(set, ["size = \"64x64\"", "steps = 4", "show = true", &socket]);
    assert!(text.contains("# seed: The number that decides the noise"), "{text}");
    let (_, text, _) = run(&["config", "show", "--origin"]);
    assert!(text.contains("size = \"64x64\"  # ZIMG_SIZE\n"), "{text}");
    let file = home.join("config.toml");
    assert!(text.contains(&format!("steps = 4  # {}\n", file.display())), "{text}");
    assert_eq!(run(&["config", "path"]).1, format!("{}\n", file.display()));
}

#[test]
fn what_is_shown_can_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = zimg(folder.path());
    first.env("ZIMG_NEGATIVE", "a \"b\"\\").env("ZIMG_WAIT", "yes").args(["config", "show"]);
    let (_, text, _) = printed(&mut first);
    let file = folder.path().join("c.toml");
    fs::write(&file, &text).unwrap();
    let mut second = zimg(folder.path());
    second.env("ZIMG_CONFIG", &file).args(["config", "show"]);
    assert_eq!(printed(&mut second).1, text);
}

#[test]
fn what_is_not_set_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = zimg(folder.path());
    let (_, text, _) = printed(command.args(["config", "show"]));
    assert!(text.contains("# metadata: Write generation metadata into the image\n"), "{text}");
    assert!(text.contains("# socket: The daemon's socket\n"), "{text}");
    let explained = |line: &str| line.split_once(": ").is_some_and(|(_, what)| !what.is_empty());
    assert!(text.lines().all(explained), "{text}");
}

#[test]
fn mistakes_are_78_and_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "guidence = 1\n").unwrap();
    let mut command = zimg(folder.path());
    command.env("ZIMG_CONFIG", &file).args(["a fox"]);
    let (code, _, text) = printed(&mut command);
    assert_eq!(code, Some(78));
    let said = format!("zimg: `guidence` in {}: there is no such setting\n", file.display());
    assert_eq!(text, format!("{said}hint: there is `guidance`\n"));
    let mut command = zimg(folder.path());
    command.env("ZIMG_SIZE", "big").args(["a fox"]);
    let (code, _, text) = printed(&mut command);
    assert_eq!(code, Some(78));
    assert!(text.starts_with("zimg: ZIMG_SIZE: invalid value 'big'"), "{text}");
    let mut command = zimg(folder.path());
    command.env("ZIMG_CONFIG", folder.path().join("none")).args(["status"]);
    assert_eq!(printed(&mut command).0, Some(78), "a file that is named must be there");
}

#[test]
fn the_files_socket_is_used_where_none_is_nearer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "socket = \"/no/such/socket\"\n").unwrap();
    let said = |command: &mut Command| {
        let (code, _, text) = printed(command.env("ZIMG_CONFIG", &file).arg("status"));
        assert_eq!(code, Some(69));
        text
    };
    assert!(said(&mut zimg(folder.path())).contains("/no/such/socket"));
    assert!(said(zimg(folder.path()).env("ZIMG_SOCKET", "/nearer")).contains("/nearer"));
    assert!(said(zimg(folder.path()).args(["--socket", "/typed"])).contains("/typed"));
}
