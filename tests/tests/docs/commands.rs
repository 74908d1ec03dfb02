//! Commands in the docs: each runs here, or is held back for a reason and checked as far as possible.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use zimg_tests::{Daemon, program};

use crate::markdown::{HELP, Page, pages, top};

/// What is looked at of a command that is not run.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// zimg or zimaged: the command is one, and takes these options.
    Options,
    /// make: the target is in the Makefile, and so are the variables.
    Target,
    /// cargo: the package is there, and its test or example.
    Package,
    /// A script of the repository.
    Script,
    /// systemd: the units are in the repository.
    Units,
    /// The files that are named are in the repository.
    Files,
    /// It is another's, and names nothing of ours.
    Foreign,
}

/// Commands that a test cannot run: how they begin, what is looked at instead, and why.
const HELD: &[(&str, Look, &str)] = &[
    ("make", Look::Target, "builds, installs or tests for minutes: install.rs runs what it can"),
    ("cargo", Look::Package, "builds: it is `make test` itself"),
    ("python3", Look::Script, "needs a GPU, or what `make parity` installs"),
    ("zimaged", Look::Options, "runs until it is ended: walkthrough.md starts it"),
    ("zimg prepare", Look::Options, "writes a checkpoint: crates/zimg/tests/cli/prepare.rs"),
    ("zimg pull", Look::Options, "speaks to the Hub: crates/zimg/tests/pull has a server"),
    ("zimg loras", Look::Options, "asks a worker with LoRAs: tests/tests/functional/loras.rs"),
    ("zimg --lora", Look::Options, "likewise"),
    (
        "zimg --control",
        Look::Options,
        "asks a worker with ControlNets: tests/tests/functional/controls.rs",
    ),
    ("zimg web", Look::Options, "serves until it is ended: tests/tests/web runs it"),
    ("zimg-web", Look::Options, "likewise"),
    ("curl", Look::Foreign, "asks a zimg-web: likewise"),
    ("systemctl", Look::Units, "wants systemd: `make systemd-test` boots one"),
    ("journalctl", Look::Units, "likewise"),
    ("systemd-sysusers", Look::Foreign, "makes users: `make systemd-test`"),
    ("systemd-tmpfiles", Look::Foreign, "likewise"),
    ("usermod", Look::Foreign, "changes users: likewise"),
    ("userdel", Look::Foreign, "likewise"),
    ("install", Look::Files, "writes into /etc"),
    ("supervisorctl", Look::Units, "wants supervisord: supervisord.rs runs one"),
    ("rm", Look::Foreign, "removes what these tests do not have"),
    ("ln", Look::Files, "into a desktop's folders: desktop.rs runs what is linked"),
    ("magick", Look::Foreign, "is ImageMagick's"),
    ("nvidia-smi", Look::Foreign, "wants a GPU"),
];

/// Words that stand for something in a command within a line, and what stands for them here.
const WORDS: &[(&str, &str)] = &[
    ("JOB", "7"),
    ("SHELL", "bash"),
    ("SECONDS", "1"),
    ("OWNER/NAME[:VARIANT]", "a/b:q8_0"),
    ("[MODEL]", "a/b"),
    ("OWNER/NAME:VARIANT", "a/b:q8_0"),
    ("…", ""),
];

/// What systemd's and supervisord's commands are told to do.
const VERBS: &[&str] =
    &["start", "stop", "restart", "enable", "disable", "status", "edit", "link", "daemon-reload"];

/// Programs that a command within a line begins with.
const PROGRAMS: &[&str] = &["zimg", "sudo", "time"];

fn held(command: &str) -> Option<Look> {
    let begins = |word: &&(&str, Look, &str)| {
        let rest = command.strip_prefix(word.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    HELD.iter().find(begins).map(|(_, look, _)| *look)
}

/// The command behind `sudo` and variables that are set for it.
fn bare(command: &str) -> &str {
    let command = command.trim();
    let is_set = |word: &str| word.contains('=') && word.starts_with(|c: char| c.is_uppercase());
    match command.split_once(' ') {
        Some((first, rest)) if matches!(first, "sudo" | "time") || is_set(first) => bare(rest),
        _ => command,
    }
}

/// A shell where the programs are found and nothing of the user's takes part.
fn shell(folder: &Path, script: &str) -> Command {
    let bin = program("zimg").parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-c", script])
        .current_dir(folder)
        .env("HOME", folder)
        .env("PATH", path)
        .env("ZIMG_CONFIG", "")
        .env("ZIMG_SOCKET", folder.join("no-daemon"))
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::null());
    command
}

/// What a script printed; it must end with 0.
fn told(command: &mut Command, place: &str) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{place}: {}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// The words of a command as a shell understands them.
fn words(command: &str, place: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let printed = told(&mut shell(folder.path(), &format!("printf '%s\\n' {command}")), place);
    printed.lines().map(str::to_owned).collect()
}

fn look(command: &str, how: Look, place: &str) {
    let command = command.trim_end_matches('&').trim();
    match how {
        Look::Options => options(command, place),
        Look::Target => target(&words(command, place), place),
        Look::Package => package(&words(command, place), place),
        Look::Script => {
            let script = words(command, place).remove(1);
            assert!(top().join(&script).exists(), "{place}: there is no {script}");
        }
        Look::Units => units(&words(command, place), place),
        Look::Files => named(&words(command, place), place),
        Look::Foreign => {}
    }
}

fn options(command: &str, place: &str) {
    let folder = tempfile::tempdir().unwrap();
    let second = command.split(' ').nth(1).unwrap_or_default();
    let is_word = !second.is_empty() && second.chars().all(|c| c.is_ascii_lowercase());
    if command.starts_with("zimg ") && is_word {
        let page = top().join(format!("contrib/packaging/man/zimg-{second}.1"));
        assert!(page.exists(), "{place}: there is no command `zimg {second}`");
    }
    let asked = if command.ends_with(" --version") { "" } else { " --help" };
    // What follows `--` is no option.
    let (options, rest) = command.split_at(command.find(" -- ").unwrap_or(command.len()));
    told(&mut shell(folder.path(), &format!("{options}{asked}{rest}")), place);
}

fn target(words: &[String], place: &str) {
    let makefile = fs::read_to_string(top().join("Makefile")).unwrap();
    for word in &words[1..] {
        let known = match word.split_once('=') {
            Some((variable, _)) => makefile.contains(variable),
            None => makefile.lines().any(|line| line.starts_with(&format!("{word}:"))),
        };
        assert!(known, "{place}: the Makefile has no {word}");
    }
}

fn package(words: &[String], place: &str) {
    let after = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1)
    };
    let folder = after("-p").map(|name| match name.as_str() {
        "zimg-tests" => top().join("tests"),
        name => top().join("crates").join(name),
    });
    if let Some(folder) = &folder {
        assert!(folder.join("Cargo.toml").exists(), "{place}: there is no such package");
    }
    for (option, place_of) in
        [("--test", "tests"), ("--example", "examples"), ("--bench", "benches")]
    {
        // `--test NAME` stands for any of them.
        let named = after(option).filter(|name| name.contains(|c: char| c.is_lowercase()));
        if let Some(name) = named {
            let top = folder.as_ref().unwrap().join(place_of);
            let sorted = fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().path());
            let there = sorted
                .filter(|path| path.is_dir())
                .chain([top.clone()])
                .any(|folder| folder.join(name).with_extension("rs").exists())
                || top.join(name).is_dir();
            assert!(there, "{place}: there is no {option} {name}");
        }
    }
}

/// The names of what `make install` puts beside the programs.
fn ours() -> Vec<String> {
    let folders = [
        "systemd/system",
        "systemd/user",
        "systemd/sysusers.d",
        "contrib/packaging/desktop",
        "contrib/packaging/supervisord",
    ];
    let names = |folder| {
        let entries = fs::read_dir(top().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
    };
    folders.into_iter().flat_map(names).collect()
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap().trim_end_matches(".d")
}

/// All that is named must be a unit.
fn units(words: &[String], place: &str) {
    let ours = ours();
    let verbs = VERBS.iter().chain(&["supervisorctl", "systemctl", "journalctl"]);
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        let name = file_name(word);
        let known = |file: &String| file == name || file.strip_suffix(".service") == Some(name);
        let known = verbs.clone().any(|verb| verb == word) || ours.iter().any(known);
        assert!(known, "{place}: {word} is no unit of ours");
    }
}

/// Something of ours is named, and there is nothing of that kind which is not there.
fn named(words: &[String], place: &str) {
    let ours = ours();
    let names = words.iter().map(|word| file_name(word));
    let is_there = |name: &&str| {
        ours.iter().any(|known| known == name || known.strip_suffix(".service") == Some(name))
    };
    let (there, others): (Vec<_>, Vec<_>) = names.partition(is_there);
    let missing = others.iter().find(|name| name.starts_with("zim"));
    assert!(missing.is_none() && !there.is_empty(), "{place}: {missing:?} is no file of ours");
}

/// The commands of a block: lines, with those that go on in the next.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split("   #").next().unwrap().trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// What a reader has already.
fn prepare(folder: &Path) {
    for (name, text) in [
        ("prompt.txt", "a red fox in the snow\n"),
        ("prompts.txt", "a red fox in the snow\na hen\n"),
        ("jobs.jsonl", "{\"prompt\": \"a red fox\", \"size\": \"64x64\", \"seed\": 7}\n"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let mask = [&b"P5\n64 48\n255\n"[..], &[255; 1536], &[0; 1536]].concat();
    fs::write(folder.join("mask.pgm"), mask).unwrap();
    fs::create_dir(folder.join("out")).unwrap();
    fs::create_dir_all(folder.join("models/Z-Image-Turbo")).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
}

fn run(page: &Page, daemon: &Daemon) -> usize {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let mut ran = 0;
    for block in page.blocks().iter().filter(|block| block.language == "sh") {
        let place = format!("{}:{}", page.name, block.line);
        let mut script = "set -euo pipefail; trap 'echo \"it was: $now\" >&2' ERR\n".to_owned();
        for command in commands(&block.text) {
            let parts: Vec<_> = command.split(" && ").map(bare).collect();
            let looks: Vec<_> = parts.iter().map(|part| held(part)).collect();
            if looks.iter().all(Option::is_some) {
                for (part, how) in parts.iter().zip(looks.into_iter().flatten()) {
                    look(part, how, &format!("{place}: {command}"));
                }
            } else {
                let quoted = command.replace('\'', "'\\''");
                script += &format!("now='{quoted}'\n{command}\n");
                ran += 1;
            }
        }
        told(shell(folder.path(), &script).env("ZIMG_SOCKET", daemon.socket()), &place);
    }
    ran
}

#[test]
fn every_block_of_commands_runs() {
    let daemon = Daemon::ready("");
    let ran: usize = pages().iter().map(|page| run(page, &daemon)).sum();
    assert!(ran > 15, "only {ran} commands were run");
    daemon.end();
}

#[test]
fn every_command_within_a_line_is_one() {
    let mut seen = 0;
    for page in pages() {
        for (span, line) in page.spans() {
            let first = span.split(' ').next().unwrap();
            let begins = PROGRAMS.contains(&first) || held(&span).is_some();
            if !begins || !span.contains(' ') {
                continue;
            }
            seen += 1;
            let place = format!("{}:{line}: {span}", page.name);
            for part in span.split(" && ").map(bare) {
                let mut command = part.to_owned();
                for (word, value) in WORDS {
                    command = command.replace(word, value);
                }
                let how = held(part).unwrap_or(Look::Options);
                let is_zimg = part.starts_with("zimg ") || part == "zimg";
                assert!(is_zimg || held(part).is_some(), "{place} is neither run nor held back");
                look(&command, how, &place);
            }
        }
    }
    assert!(seen > 50, "only {seen} commands were looked at");
}

#[test]
fn every_example_of_the_help_is_one() {
    let mut seen = 0;
    for block in Page::read(HELP).blocks() {
        for line in block.text.lines().filter(|line| line.starts_with("  zimg ")) {
            let ours =
                line.trim().split("  ").next().unwrap().split(['|', '>', ';']).next().unwrap();
            let command = &ours.replace("< prompt.txt ", "").replace("$job", "7");
            look(command, Look::Options, &format!("{HELP}: {command}"));
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} examples were looked at");
}

#[test]
fn every_held_back_command_is_used() {
    let text: String = pages().iter().map(|page| page.text.clone()).collect();
    let forgotten = HELD.iter().find(|(begins, ..)| !text.contains(&format!("{begins} ")));
    assert!(forgotten.is_none(), "no page has {forgotten:?} any more");
}

#[test]
fn a_wrong_command_is_found() {
    let wrong = [
        ("zimg shwo a.png", Look::Options),
        ("zimg \"a fox\" --sizes 1x1", Look::Options),
        ("zimaged --modle x", Look::Options),
        ("make bunch", Look::Target),
        ("cargo test -p zimage --test nothing", Look::Package),
        ("systemctl start zimagd", Look::Units),
    ];
    for (command, how) in wrong {
        let found = std::panic::catch_unwind(|| look(command, how, "here"));
        assert!(found.is_err(), "{command} passes");
    }
}
