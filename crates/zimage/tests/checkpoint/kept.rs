//! Weights that a process left are used if nothing about them is doubtful, and else never.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use zimage::checkpoint::{Arrival, Component, Loader, Target};
use zimage::{Error, Kept, Result};

use crate::folder::{Folder, TRANSFORMER, file_of, matrix};

/// The memory of one small tensor.
const BYTES: u64 = 256;

/// Takes every component's `w` by this loader, and completes it.
fn take(folder: &Folder, mut loader: Loader, kind: Kind) -> Result<(Vec<Tensor>, Loader)> {
    let checkpoint = folder.open()?;
    let mut taken = Vec::new();
    for component in Component::ALL {
        let target = Target { device: Device::Cpu, kind };
        let mut weights = checkpoint.weights(component, target, &mut loader)?;
        taken.push(weights.take("w", &[2, 3])?);
        weights.finish()?;
    }
    loader.run(&mut |_| {})?;
    assert!(loader.is_done());
    Ok((taken, loader))
}

/// What a first process leaves: the manifest and three memories.
fn leave(folder: &Folder) -> Vec<OwnedFd> {
    let loader = Loader::remembering(&folder.open().unwrap(), Device::Cpu).unwrap();
    let (_, loader) = take(folder, loader, Kind::Float).unwrap();
    assert_eq!(loader.arrival(), Arrival::Read(3 * 24));
    loader.into_memory().keep().unwrap().into_descriptors()
}

fn take_kept(folder: &Folder, left: Vec<OwnedFd>) -> Result<(Vec<Tensor>, Loader)> {
    take_kept_as(folder, left, Kind::Float)
}

fn take_kept_as(folder: &Folder, left: Vec<OwnedFd>, kind: Kind) -> Result<(Vec<Tensor>, Loader)> {
    let kept = Kept::new(left);
    take(folder, Loader::from_kept(&folder.open()?, Device::Cpu, kept)?, kind)
}

/// Why they are not used.
fn doubt(result: Result<(Vec<Tensor>, Loader)>) -> String {
    match result.unwrap_err() {
        Error::NotKept(why) => why,
        other => panic!("not a doubt but {other}"),
    }
}

fn bytes_of(shared: &OwnedFd) -> Vec<u8> {
    let file = File::from(shared.try_clone().unwrap());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Memory as a process leaves it, or not quite.
fn memory(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let made = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let file = File::from(made);
    file.write_all_at(bytes, 0).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

fn sealed(bytes: &[u8]) -> OwnedFd {
    memory(bytes, SEALS)
}

/// What was left, with its manifest changed.
fn with_manifest(mut left: Vec<OwnedFd>, change: impl FnOnce(&mut Value)) -> Vec<OwnedFd> {
    let mut manifest = serde_json::from_slice(&bytes_of(&left[0])).unwrap();
    change(&mut manifest);
    left[0] = sealed(manifest.to_string().as_bytes());
    left
}

#[test]
fn what_one_loader_left_another_has_without_reading() {
    let folder = Folder::new();
    let (taken, loader) = take_kept(&folder, leave(&folder)).unwrap();
    assert_eq!(loader.arrival(), Arrival::Kept(3 * BYTES));
    let expected = Tensor::from_slice(&[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).view([2, 3]);
    for tensor in &taken {
        assert_eq!(tensor, &expected);
    }
    // It may be left again and again.
    let again = loader.into_memory().keep().unwrap().into_descriptors();
    drop(taken);
    take_kept(&folder, again).unwrap();
}

#[test]
fn the_memory_is_what_the_tensors_are_in() {
    let folder = Folder::new();
    let left = leave(&folder);
    let bytes: Vec<u8> =
        [0f32, 1.0, 2.0, 3.0, 4.0, 5.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    for memory in &left[1..] {
        assert_eq!(bytes_of(memory)[..24], bytes);
        assert!(File::from(memory.try_clone().unwrap()).write_all_at(&[1], 0).is_err());
    }
}

#[test]
fn a_file_that_changed_is_read_anew() {
    let folder = Folder::new();
    let left = leave(&folder);
    // Of the same length and header.
    let mut bytes = file_of(&[matrix("w")]);
    *bytes.last_mut().unwrap() ^= 1;
    folder.remove(TRANSFORMER);
    folder.write(TRANSFORMER, &bytes);
    assert_eq!(doubt(take_kept(&folder, left)), "the checkpoint's files have changed");
}

#[test]
fn another_folder_of_the_same_files_is_another_checkpoint() {
    let left = leave(&Folder::new());
    assert_eq!(doubt(take_kept(&Folder::new(), left)), "the checkpoint's files have changed");
}

#[test]
fn another_configuration_is_another_model() {
    let folder = Folder::new();
    let left = leave(&folder);
    folder.set("transformer/config.json", "rope_theta", Some(json!(128.0)));
    assert_eq!(doubt(take_kept(&folder, left)), "the model's configuration is another");
}

#[test]
fn another_kind_of_number_lies_otherwise() {
    let folder = Folder::new();
    let left = leave(&folder);
    let doubt = doubt(take_kept_as(&folder, left, Kind::BFloat16));
    assert_eq!(doubt, "they lie in memory otherwise");
}

#[test]
fn one_bit_that_changed_is_found_by_the_checksum() {
    let folder = Folder::new();
    for part in 1..4 {
        for at in [0, 23, BYTES as usize - 1] {
            let mut left = leave(&folder);
            let mut bytes = bytes_of(&left[part]);
            bytes[at] ^= 4;
            left[part] = sealed(&bytes);
            assert_eq!(doubt(take_kept(&folder, left)), "their checksum is wrong", "{part} {at}");
        }
    }
}

#[test]
fn memory_that_could_still_change_is_not_trusted() {
    let folder = Folder::new();
    for seals in [SealFlags::empty(), SEALS - SealFlags::WRITE, SEALS - SealFlags::SHRINK] {
        for part in [0, 2] {
            let mut left = leave(&folder);
            left[part] = memory(&bytes_of(&left[part]), seals);
            let doubt = doubt(take_kept(&folder, left));
            assert!(doubt.contains("it is not sealed"), "{doubt}");
        }
    }
}

#[test]
fn memory_of_another_length_is_not_mapped() {
    let folder = Folder::new();
    for bytes in [0, 100, 4096] {
        let mut left = leave(&folder);
        left[2] = sealed(&vec![0; bytes]);
        assert_eq!(doubt(take_kept(&folder, left)), format!("there are {bytes} bytes of {BYTES}"));
    }
    let left = with_manifest(leave(&folder), |manifest| {
        manifest["parts"][1]["bytes"] = json!(1u64 << 62);
    });
    assert_eq!(doubt(take_kept(&folder, left)), "they are of other lengths");
}

#[test]
fn memory_in_another_order_is_found() {
    let folder = Folder::new();
    folder.write(
        TRANSFORMER,
        &file_of(&[(
            "w",
            safetensors::tensor::Dtype::F32,
            &[2, 3],
            [1f32; 6].iter().flat_map(|x| x.to_le_bytes()).collect(),
        )]),
    );
    let mut left = leave(&folder);
    left.swap(1, 2);
    assert_eq!(doubt(take_kept(&folder, left)), "their checksum is wrong");
}

#[test]
fn another_layout_or_version_or_device_is_not_used() {
    let folder = Folder::new();
    for (key, value, why) in [
        ("layout", json!(0), "another version of zimg made them"),
        ("version", json!("0.0.0"), "another version of zimg made them"),
        ("device", json!("GPU-0123"), "they lie on another device"),
    ] {
        let left = with_manifest(leave(&folder), |manifest| manifest["origin"][key] = value);
        assert_eq!(doubt(take_kept(&folder, left)), why);
    }
    let left = with_manifest(leave(&folder), |manifest| {
        manifest["parts"][0]["layout"] = json!("0123");
    });
    assert_eq!(doubt(take_kept(&folder, left)), "they lie in memory otherwise");
}

#[test]
fn a_manifest_that_is_cut_or_missing_or_endless_is_not_believed() {
    let folder = Folder::new();
    let whole = bytes_of(&leave(&folder)[0]);
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        let mut left = leave(&folder);
        left[0] = sealed(&whole[..length]);
        let doubt = doubt(take_kept(&folder, left));
        assert!(doubt.starts_with("the manifest is damaged: "), "{length}: {doubt}");
    }
    assert_eq!(doubt(take_kept(&folder, Vec::new())), "there is no manifest");
    let mut left = leave(&folder);
    left[0] = sealed(&vec![b' '; 1 << 20]);
    assert_eq!(doubt(take_kept(&folder, left)), "the manifest cannot be read: file too large");
}

#[test]
fn a_memory_too_few_or_too_many_is_not_believed() {
    let folder = Folder::new();
    let mut left = leave(&folder);
    left.pop();
    assert_eq!(doubt(take_kept(&folder, left)), "the manifest and the memory differ in number");
    let mut left = leave(&folder);
    left.push(sealed(b"more"));
    assert_eq!(doubt(take_kept(&folder, left)), "the manifest and the memory differ in number");
}

#[test]
fn what_is_not_remembered_is_not_left() {
    let folder = Folder::new();
    let (_, loader) = take(&folder, Loader::new(), Kind::Float).unwrap();
    assert!(matches!(loader.into_memory().keep(), Err(Error::NotKept(_))));
}
