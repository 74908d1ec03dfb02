//! Verification: sound checkpoints have exactly the expected tensors, others one sentence.

use std::fs;
use std::path::PathBuf;

use zimage_checkpoint::{Checkpoint, Component, Error};

use crate::copy::{Copy, fixture};

/// Checkpoints that `zimage`'s tests load: reference models, and the built-in model.
fn checkpoints() -> [PathBuf; 4] {
    [
        "tests/fixtures/reference/plain",
        "tests/fixtures/reference/broad",
        "tests/fixtures/reference/odd",
        "crates/zimage-worker/tiny",
    ]
    .map(fixture)
}

#[test]
fn sound_checkpoints_have_the_expected_tensors_and_no_others() {
    for path in checkpoints() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let summary = checkpoint.verify().unwrap();
        assert!(summary.files() >= 3 && summary.parameters() > 100_000, "{path:?}: {summary:?}");
        for component in Component::ALL {
            let index = checkpoint.tensor_index(component).unwrap();
            let architecture = checkpoint.architecture(component);
            for expected in &architecture.tensors {
                let (_, stored) = &index.tensors[&expected.name];
                assert_eq!(stored.shape, expected.shape, "{}", expected.name);
                assert!(!architecture.unused.iter().any(|p| expected.name.starts_with(p)));
            }
        }
    }
}

#[test]
fn a_configuration_that_does_not_fit_the_tensors_is_a_fault() {
    let folder = Copy::plain();
    let path = folder.path().join("transformer/config.json");
    let config = fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let layers = config["n_layers"].as_i64().unwrap();
    for (count, missing) in [(layers + 1, true), (layers - 1, false)] {
        config["n_layers"] = count.into();
        fs::write(&path, config.to_string()).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap().verify().unwrap_err();
        let prefix = format!("layers.{}.", layers.min(count));
        match error {
            Error::MissingTensor { name, .. } => assert!(missing && name.starts_with(&prefix)),
            Error::SurplusTensors { names, .. } => {
                assert!(!missing && names.iter().all(|name| name.starts_with(&prefix)));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_missing_tokenizer_is_a_fault() {
    let folder = Copy::of("tests/fixtures/reference/odd");
    fs::remove_file(folder.path().join("tokenizer/tokenizer.json")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap().verify().unwrap_err();
    assert!(matches!(error, Error::MissingFile { .. }), "{error}");
    assert_eq!(error.hint().as_deref(), Some("fetch the checkpoint again, it is not complete"));
}
