//! Files that are missing, cut short, or lie about themselves.

use std::fs::{self, OpenOptions};
use std::path::Path;

use safetensors::tensor::Dtype;
use serde_json::json;
use tch::{Device, Kind};
use zimage::checkpoint::{Checkpoint, Component};
use zimage::weights::{Loader, Target};
use zimage::{ErrorKind, Result};

use crate::folder::{Folder, TRANSFORMER, file_of, file_with_header, matrix};

/// What is said when the transformer's file holds these bytes.
fn said_of(bytes: &[u8]) -> String {
    let folder = Folder::new();
    folder.write(TRANSFORMER, bytes);
    let error = folder.load(Component::Transformer, |w| w.take("w", &[2, 3])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    folder.sentence(&error).replace(TRANSFORMER, "W")
}

/// What is said when the transformer's header is this, and 24 bytes follow it.
fn said_of_header(header: &str) -> String {
    said_of(&file_with_header(header, 24))
}

#[test]
fn missing_files_are_named() {
    let error = Checkpoint::open(Path::new("/nowhere/at-all")).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint folder /nowhere/at-all does not exist");

    for file in ["vae/config.json", "scheduler/scheduler_config.json"] {
        let folder = Folder::new();
        folder.remove(file);
        let error = folder.open().unwrap_err();
        assert_eq!(folder.sentence(&error), format!("F/{file} is missing"));
        assert!(error.hint().is_some());
    }

    let folder = Folder::new();
    folder.remove(TRANSFORMER);
    let error = folder.load(Component::Transformer, |_| Ok(())).unwrap_err();
    assert_eq!(folder.sentence(&error), format!("F/{TRANSFORMER} is missing"));

    let folder = Folder::new();
    folder.remove("tokenizer/tokenizer.json");
    let error = folder.open().unwrap().tokenizer().unwrap_err();
    assert_eq!(folder.sentence(&error), "F/tokenizer/tokenizer.json is missing");
}

#[test]
fn a_folder_of_something_else_is_not_a_checkpoint() {
    let folder = Folder::new();
    folder.remove("model_index.json");
    let error = folder.open().unwrap_err();
    let sentence = "F holds no model_index.json, so it is not a diffusers checkpoint";
    assert_eq!(folder.sentence(&error), sentence);
    assert_eq!(error.hint(), None);
    fs::create_dir(folder.path().join("snapshots")).unwrap();
    assert!(folder.open().unwrap_err().hint().unwrap().contains("snapshots/"));
}

#[test]
fn what_is_no_folder_is_not_called_absent() {
    let folder = Folder::new();
    let (file, circle) = (folder.path().join("model.safetensors"), folder.path().join("circle"));
    fs::write(&file, "").unwrap();
    let error = Checkpoint::open(&file).unwrap_err();
    assert_eq!(folder.sentence(&error), "F/model.safetensors is empty");
    assert_eq!(error.hint().as_deref(), Some("download it again"));
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    let error = Checkpoint::open(&circle).unwrap_err();
    let sentence = folder.sentence(&error);
    assert!(sentence.starts_with("F/circle cannot be read: Too many levels"), "{sentence}");
}

#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new();
    folder.remove(TRANSFORMER);
    fs::create_dir(folder.path().join(TRANSFORMER)).unwrap();
    let error = folder.load(Component::Transformer, |_| Ok(())).unwrap_err();
    assert_eq!(folder.sentence(&error), format!("F/{TRANSFORMER} is not a regular file"));
}

#[test]
fn a_huge_configuration_is_not_read() {
    let folder = Folder::new();
    let file = OpenOptions::new().write(true).open(folder.path().join("vae/config.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(
        folder.sentence(&folder.open().unwrap_err()),
        "F/vae/config.json has 1099511627776 bytes, but such a file may have at most 1048576"
    );
}

#[test]
fn a_truncated_file_says_how_much_it_lacks() {
    let whole = file_of(&[matrix("w")]);
    let (all, cut) = (whole.len(), whole.len() - 1);
    assert_eq!(
        said_of(&whole[..cut]),
        format!("F/W is cut short: it should have {all} bytes and has {cut}")
    );
    assert_eq!(
        said_of(&whole[..20]),
        format!(
            "F/W is not a valid safetensors file: its header claims {} bytes, but only 12 follow",
            all - 24 - 8
        )
    );
    assert_eq!(said_of(b""), "F/W is empty");
}

#[test]
fn a_header_length_that_lies_is_not_believed() {
    let mut file = file_of(&[matrix("w")]);
    file[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        said_of(&file),
        "F/W is not a valid safetensors file: its header claims 18446744073709551615 bytes, more than 16777216"
    );
    file[..8].copy_from_slice(&(16u64 << 20).to_le_bytes());
    let follow = file.len() - 8;
    assert_eq!(
        said_of(&file),
        format!(
            "F/W is not a valid safetensors file: its header claims 16777216 bytes, but only {follow} follow"
        )
    );
}

#[test]
fn bytes_after_the_last_tensor_are_an_error() {
    let mut file = file_of(&[matrix("w")]);
    file.extend_from_slice(b"more");
    assert_eq!(
        said_of(&file),
        "F/W is not a valid safetensors file: 4 bytes follow its last tensor"
    );
}

#[test]
fn offsets_that_lie_are_not_believed() {
    // Beyond the file.
    assert_eq!(
        said_of_header(r#"{"w":{"dtype":"F32","shape":[1000000,3],"data_offsets":[0,12000000]}}"#),
        "F/W is cut short: it should have 12000077 bytes and has 101"
    );
    // Not what type and shape need.
    assert_eq!(
        said_of_header(r#"{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,24]}}"#),
        "F/W is not a valid safetensors file: a tensor's type and shape do not fit its length"
    );
    // Overlapping.
    let two = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},
                  "b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}"#;
    assert_eq!(
        said_of_header(two),
        "F/W is not a valid safetensors file: the tensor b does not begin where the one before it ends"
    );
    // Backwards.
    assert_eq!(
        said_of_header(r#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[24,0]}}"#),
        "F/W is not a valid safetensors file: the tensor w does not begin where the one before it ends"
    );
    // More than a machine word.
    assert_eq!(
        said_of_header(
            r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,24]}}"#
        ),
        "F/W is not a valid safetensors file: a tensor's type and shape do not fit its length"
    );
}

#[test]
fn a_tensor_may_not_be_twice_in_a_header() {
    let twice = r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},
                    "w":{"dtype":"F32","shape":[3],"data_offsets":[12,24]}}"#;
    assert_eq!(
        said_of_header(twice),
        "F/W is not a valid safetensors file: it has the tensor w twice"
    );
}

#[test]
fn a_name_is_one_line() {
    let broken = r#"{"w\n":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    assert_eq!(
        said_of_header(broken),
        "F/W is not a valid safetensors file: the tensor w\\n has a control character in its name"
    );
}

#[test]
fn a_header_that_is_no_json_is_an_error() {
    assert_eq!(
        said_of_header("{\"w\": nothing}"),
        "F/W is not a valid safetensors file: its header is damaged (line 1, column 8: expected ident)"
    );
    assert_eq!(
        said_of_header("[]"),
        "F/W is not a valid safetensors file: its header is damaged (it is a list, expected an object: {…})"
    );
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() -> Result<()> {
    let folder = Folder::new();
    let mut loader = Loader::new();
    let target = Target { device: Device::Cpu, kind: Kind::BFloat16 };
    let mut weights = loader.weights(&folder.open()?, Component::Transformer, target)?;
    drop(weights.take("w", &[2, 3])?);
    weights.finish()?;
    let path = folder.path().join(TRANSFORMER);
    let len = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(path).unwrap().set_len(len - 8).unwrap();
    let error = loader.run(&mut |_| {}).unwrap_err();
    assert_eq!(
        folder.sentence(&error),
        format!("F/{TRANSFORMER} became shorter while it was read")
    );
    assert!(!loader.is_done());
    Ok(())
}

/// Many chunks, some of which are there and some not.
#[test]
fn a_large_file_that_shrinks_is_an_error_of_some_thread() -> Result<()> {
    for kind in [Kind::Float, Kind::BFloat16] {
        let folder = Folder::new();
        let names: Vec<String> = (0..8).map(|i| i.to_string()).collect();
        let numbers = 1 << 20;
        let tensors: Vec<_> = names
            .iter()
            .map(|name| (&**name, Dtype::F32, &[1 << 20][..], vec![0; 4 * numbers]))
            .collect();
        folder.write(TRANSFORMER, &file_of(&tensors));
        let mut loader = Loader::new();
        let target = Target { device: Device::Cpu, kind };
        let mut weights = loader.weights(&folder.open()?, Component::Transformer, target)?;
        for name in &names {
            drop(weights.take(name, &[numbers as i64])?);
        }
        weights.finish()?;
        let path = folder.path().join(TRANSFORMER);
        OpenOptions::new().write(true).open(path).unwrap().set_len(5 << 22).unwrap();
        let error = loader.run(&mut |_| {}).unwrap_err();
        assert_eq!(
            folder.sentence(&error),
            format!("F/{TRANSFORMER} became shorter while it was read")
        );
    }
    Ok(())
}

#[test]
fn metadata_is_skipped() {
    let header = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
    let folder = Folder::new();
    folder.write(TRANSFORMER, &file_with_header(header, 24));
    let tensor = folder.load(Component::Transformer, |w| w.take("w", &[2, 3])).unwrap();
    assert_eq!(tensor.double_value(&[1, 1]), 0.0);
    // Whatever its form: it is not ours.
    let odd = json!({"__metadata__": {"nested": [1, 2]}}).to_string();
    folder.write(TRANSFORMER, &file_with_header(&odd, 0));
    folder.load(Component::Transformer, |_| Ok(())).unwrap();
}
