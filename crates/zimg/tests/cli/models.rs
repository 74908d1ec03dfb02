//! `zimg models`: checkpoints in the Hugging Face cache and in folders of the settings.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use zimg_protocol::messages::{Event, Request, Setup};

use crate::fake::{Fake, zimg};
use crate::folder::copy;

/// A small checkpoint in the layout of diffusers.
const PLAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/plain");
const COMMIT: &str = "2f862278568d3f0a83167a16e5f11094da6dee72";

/// A cache with a snapshot, and a folder with a faulty one and another model.
fn machine() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join(".cache/huggingface/hub/models--a--Z-Image-Small");
    let snapshot = repository.join("snapshots").join(COMMIT);
    copy(Path::new(PLAIN), &snapshot);
    fs::create_dir(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), COMMIT).unwrap();
    let models = home.path().join("models");
    copy(Path::new(PLAIN), &models.join("z-image-cut"));
    fs::remove_file(models.join("z-image-cut/tokenizer/tokenizer.json")).unwrap();
    fs::write(models.join("sdxl.safetensors"), vec![0; 200_000]).unwrap();
    symlink(&snapshot, models.join("again")).unwrap();
    (home, snapshot)
}

fn listed(home: &Path, words: &[&str]) -> String {
    let mut command = zimg(home);
    command.env("HOME", home).env("ZIMG_MODEL_DIRS", home.join("models"));
    for name in ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"] {
        command.env_remove(name);
    }
    command.env("ZIMG_SOCKET", home.join("none")).arg("models").args(words);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn usable_faulty_and_other_models_are_told_apart() {
    let (home, _) = machine();
    let of = |words: &[&str]| -> Vec<(String, String, bool)> {
        let text = listed(home.path(), &[&["--json"], words].concat());
        let event = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let name = text("path").rsplit('/').next().unwrap_or_default().to_owned();
            (name, text("state"), event["message"].is_string())
        };
        text.lines().map(event).collect()
    };
    let row = |name: &str, state: &str, why| (name.to_owned(), state.to_owned(), why);
    let mut expected = vec![
        row("", "usable", false),
        row(COMMIT, "usable", false),
        row("z-image-cut", "faulty", true),
    ];
    assert_eq!(of(&[]), expected);
    expected.push(row("sdxl.safetensors", "other", true));
    assert_eq!(of(&["--all"]), expected);
    let text = listed(home.path(), &[]);
    assert!(text.contains("z-image-cut: tokenizer/tokenizer.json is missing\n"), "{text}");
    assert!(text.ends_with("1 other model is not listed: `zimg models --all`\n"), "{text}");
}

#[test]
fn the_served_model_is_marked() {
    let (home, snapshot) = machine();
    let model = snapshot.display().to_string();
    let daemon = Fake::many(move |peer, request| {
        assert_eq!(request, Request::Setup);
        let (config, state_dir) = (None, None);
        peer.say(Event::Setup(Box::new(Setup { config, model: model.clone(), state_dir })));
    });
    let mut command = daemon.zimg(&["models"]);
    let output = command.env("HOME", home.path()).env_remove("HF_HOME").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<_> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(rows[1], ["usable", "built-in", "tiny"], "{text}");
    assert_eq!(rows[2][0], "served", "{text}");
}

/// Single files and GGUF have a layout and a kind; a transformer alone says what it lacks.
#[test]
fn files_of_other_programs_are_listed_with_their_layout() {
    let home = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let models = home.path().join("models");
    for (folder, file) in [
        ("ComfyUI/models/diffusion_models", "layouts/transformer.gguf"),
        ("ComfyUI/models/text_encoders", "layouts/text_encoder.gguf"),
        ("ComfyUI/models/text_encoders", "reference/plain/tokenizer/tokenizer.json"),
        ("ComfyUI/models/vae", "layouts/all-in-one.safetensors"),
        ("whole", "layouts/all-in-one.safetensors"),
        ("whole", "reference/plain/tokenizer/tokenizer.json"),
        ("alone", "quantised/mixed.gguf"),
    ] {
        let folder = models.join(folder);
        fs::create_dir_all(&folder).unwrap();
        let file = fixtures.join(file);
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    let text = listed(home.path(), &["--json"]);
    let rows: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            // What `--model` takes.
            assert_eq!(word("model"), word("path"));
            let file = word("path").rsplit('/').next().unwrap().to_owned();
            [file, word("state"), word("kind"), word("layout"), word("message")]
        })
        .collect();
    let expected = [
        ["transformer.gguf", "usable", "turbo", "gguf", ""],
        ["all-in-one.safetensors", "usable", "turbo", "all-in-one", ""],
        ["mixed.gguf", "partial", "", "gguf", "there is no text encoder for mixed.gguf"],
    ];
    assert_eq!(rows, expected, "{text}");
}
