//! How files may lie: one or several, links into a cache, in memory; and lists that are wrong.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use tch::{Device, Kind};
use tempfile::TempDir;
use zimage::checkpoint::{Checkpoint, Component};
use zimage::weights::{Loader, Target, Weights};

use crate::folder::{Folder, INDEX, TEXT_ENCODER, TRANSFORMER, file_of, matrix};

const SHARDS: [&str; 2] = [
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
];

/// A folder whose transformer is two shards with one tensor each.
fn sharded() -> Folder {
    let folder = Folder::new();
    folder.remove(TRANSFORMER);
    folder.write(SHARDS[0], &file_of(&[matrix("a")]));
    folder.write(SHARDS[1], &file_of(&[matrix("b")]));
    list(&folder, json!({"a": name(SHARDS[0]), "b": name(SHARDS[1])}));
    folder
}

fn name(path: &str) -> &str {
    path.strip_prefix("transformer/").unwrap()
}

fn list(folder: &Folder, weight_map: Value) {
    let index = json!({"metadata": {"total_size": 48}, "weight_map": weight_map});
    folder.write(INDEX, index.to_string().as_bytes());
}

fn said(folder: &Folder) -> String {
    folder.sentence(&folder.load(Component::Transformer, |_| Ok(())).unwrap_err())
}

fn takes_both(folder: &Folder) {
    let take = |w: &mut Weights<'_>| {
        assert!(w.has("a") && w.has("b") && !w.has("c"));
        Ok((w.take("a", &[2, 3])?, w.take("b", &[2, 3])?))
    };
    let (a, b) = folder.load(Component::Transformer, take).unwrap();
    assert_eq!(a, b);
    assert_eq!(a.double_value(&[1, 2]), 5.0);
}

#[test]
fn shards_are_one_component() {
    takes_both(&sharded());
}

#[test]
fn a_list_may_not_point_out_of_its_folder() {
    for outside in ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", ""] {
        let folder = sharded();
        list(&folder, json!({"a": outside, "b": name(SHARDS[1])}));
        let sentence =
            format!("F/{INDEX}: it names the file {outside:?}, which is not in its folder");
        assert_eq!(said(&folder), sentence);
    }
}

#[test]
fn a_list_must_agree_with_its_shards() {
    let [first, second] = SHARDS.map(name);
    let folder = sharded();
    list(&folder, json!({"a": second, "b": second}));
    assert_eq!(
        said(&folder),
        format!("F/{INDEX}: it places the tensor a in {second}, which lacks it")
    );

    let folder = sharded();
    list(&folder, json!({"a": second, "b": first}));
    assert_eq!(
        said(&folder),
        format!("F/{INDEX}: it places the tensor a in {second}, which lacks it")
    );

    let folder = sharded();
    folder.write(SHARDS[1], &file_of(&[matrix("b"), matrix("c")]));
    assert_eq!(said(&folder), format!("F/{INDEX}: it does not list the tensor c of {second}"));

    let folder = sharded();
    list(&folder, json!({}));
    assert_eq!(said(&folder), format!("F/{INDEX}: it names no file"));

    let folder = sharded();
    folder.remove(SHARDS[1]);
    assert_eq!(said(&folder), format!("F/{} is missing", SHARDS[1]));

    let folder = sharded();
    folder.write(INDEX, b"{}");
    let sentence = format!("F/{INDEX} is not valid: missing field `weight_map`");
    assert_eq!(said(&folder), sentence);
}

#[test]
fn a_tensor_may_not_be_in_two_shards() {
    let folder = sharded();
    folder.write(SHARDS[1], &file_of(&[matrix("a"), matrix("b")]));
    let sentence = format!("the tensor a is in F/{} and again in F/{}", SHARDS[0], SHARDS[1]);
    assert_eq!(said(&folder), sentence);
}

#[test]
fn the_text_encoder_may_have_a_prefix() {
    for prefix in ["", "model."] {
        let folder = Folder::new();
        let name = format!("{prefix}norm.weight");
        folder.write(TEXT_ENCODER, &file_of(&[matrix(&name), matrix("lm_head.weight")]));
        let norm = folder
            .load(Component::TextEncoder, |w| {
                w.skip("lm_head.");
                w.take("norm.weight", &[2, 3])
            })
            .unwrap();
        assert_eq!(norm.size(), [2, 3]);
    }
    let folder = Folder::new();
    folder.write(TEXT_ENCODER, &file_of(&[matrix("w"), matrix("model.w")]));
    let error = folder.load(Component::TextEncoder, |_| Ok(())).unwrap_err();
    let sentence = format!("the tensor w is in F/{TEXT_ENCODER} and again in F/{TEXT_ENCODER}");
    assert_eq!(folder.sentence(&error), sentence);
}

/// Moves a folder's files to `blobs` and leaves links, as the Hugging Face cache has them.
fn move_to_blobs(folder: &Path, blobs: &Path, up: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            move_to_blobs(&path, blobs, &format!("../{up}"));
        } else {
            let blob = fs::read_dir(blobs).unwrap().count().to_string();
            fs::rename(&path, blobs.join(&blob)).unwrap();
            symlink(format!("{up}blobs/{blob}"), &path).unwrap();
        }
    }
}

#[test]
fn a_snapshot_of_the_hugging_face_cache_is_read() {
    let cache = TempDir::new().unwrap();
    let repository = cache.path().join("models--Tongyi-MAI--Z-Image-Turbo");
    let snapshot = repository.join("snapshots/0123abcd");
    let blobs = repository.join("blobs");
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::create_dir(&blobs).unwrap();
    fs::rename(sharded().path(), &snapshot).unwrap();
    move_to_blobs(&snapshot, &blobs, "../../");

    let checkpoint = Checkpoint::open(&snapshot).unwrap();
    assert_eq!(checkpoint.name, "Tongyi-MAI/Z-Image-Turbo");
    assert_eq!(checkpoint.tokenizer().unwrap(), b"{}");
    let mut loader = Loader::new();
    let target = Target { device: Device::Cpu, kind: Kind::Float };
    let mut weights = loader.weights(&checkpoint, Component::Transformer, target).unwrap();
    assert_eq!(weights.take("a", &[2, 3]).unwrap(), weights.take("b", &[2, 3]).unwrap());
    weights.finish().unwrap();

    let shard = snapshot.join(SHARDS[1]);
    fs::remove_file(shard.canonicalize().unwrap()).unwrap();
    let error = loader.weights(&checkpoint, Component::Transformer, target).unwrap_err();
    let sentence = format!("{} is a link to a file that is not there", shard.display());
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn files_in_memory_are_read() {
    let folder = Folder::new();
    let files: Vec<(&str, &[u8])> = [
        "model_index.json",
        "transformer/config.json",
        "text_encoder/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
        TRANSFORMER,
    ]
    .map(|file| (file, &*fs::read(folder.path().join(file)).unwrap().leak()))
    .to_vec();
    let checkpoint = Checkpoint::embedded("tiny", files.leak()).unwrap();
    assert_eq!(checkpoint.name, "tiny");
    assert_eq!(checkpoint.tokenizer().unwrap(), b"{}");
    let mut loader = Loader::new();
    let target = Target { device: Device::Cpu, kind: Kind::BFloat16 };
    let mut weights = loader.weights(&checkpoint, Component::Transformer, target).unwrap();
    let w = weights.take("w", &[2, 3]).unwrap();
    weights.finish().unwrap();
    loader.run(&mut |_| {}).unwrap();
    assert_eq!(w.double_value(&[1, 0]), 3.0);
    let error = loader.weights(&checkpoint, Component::Vae, target).unwrap_err();
    let sentence = "tiny/vae/diffusion_pytorch_model.safetensors is missing";
    assert_eq!(error.to_string(), sentence);
}
