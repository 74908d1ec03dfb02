//! Retained weights are used only if they are certain to be the checkpoint's.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use zimage::checkpoint::Component;
use zimage::weights::{LoadedFrom, Loader, Target};
use zimage::{Error, Result, WeightDescriptors};

use crate::folder::{Folder, TRANSFORMER, file_of, matrix};

/// The memory of one small tensor.
const BYTES: u64 = 256;

/// Takes every component's `w` with this loader, and runs it.
fn take(folder: &Folder, mut loader: Loader, kind: Kind) -> Result<(Vec<Tensor>, Loader)> {
    let checkpoint = folder.open()?;
    let mut taken = Vec::new();
    for component in Component::ALL {
        let target = Target { device: Device::Cpu, kind };
        let mut weights = loader.weights(&checkpoint, component, target)?;
        taken.push(weights.take("w", &[2, 3])?);
        weights.finish()?;
    }
    loader.run(&mut |_| {})?;
    assert!(loader.is_done());
    Ok((taken, loader))
}

/// What a first process retains: the manifest and the memory of three components.
fn retain(folder: &Folder) -> Vec<OwnedFd> {
    let loader = Loader::retaining(&folder.open().unwrap(), Device::Cpu).unwrap();
    let (_, loader) = take(folder, loader, Kind::Float).unwrap();
    assert_eq!(loader.loaded_from(), LoadedFrom::Files(3 * 24));
    loader.into_weights().retain().unwrap().into_descriptors()
}

fn take_retained(folder: &Folder, retained: Vec<OwnedFd>) -> Result<(Vec<Tensor>, Loader)> {
    take_retained_as(folder, retained, Kind::Float)
}

fn take_retained_as(
    folder: &Folder,
    retained: Vec<OwnedFd>,
    kind: Kind,
) -> Result<(Vec<Tensor>, Loader)> {
    let retained = WeightDescriptors::new(retained);
    take(folder, Loader::from_retained(&folder.open()?, Device::Cpu, retained)?, kind)
}

/// Why they are not used.
fn refusal(result: Result<(Vec<Tensor>, Loader)>) -> String {
    match result.unwrap_err() {
        Error::NotRetained(why) => why,
        other => panic!("not a refusal but {other}"),
    }
}

fn bytes_of(shared: &OwnedFd) -> Vec<u8> {
    let file = File::from(shared.try_clone().unwrap());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A memfd with these seals.
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

/// Retained weights with another manifest.
fn with_manifest(mut retained: Vec<OwnedFd>, change: impl FnOnce(&mut Value)) -> Vec<OwnedFd> {
    let mut manifest = serde_json::from_slice(&bytes_of(&retained[0])).unwrap();
    change(&mut manifest);
    retained[0] = sealed(manifest.to_string().as_bytes());
    retained
}

#[test]
fn retained_weights_are_taken_without_reading() {
    let folder = Folder::new();
    let (taken, loader) = take_retained(&folder, retain(&folder)).unwrap();
    assert_eq!(loader.loaded_from(), LoadedFrom::Retained(3 * BYTES));
    let expected = Tensor::from_slice(&[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).view([2, 3]);
    for tensor in &taken {
        assert_eq!(tensor, &expected);
    }
    // They can be retained again.
    let again = loader.into_weights().retain().unwrap().into_descriptors();
    drop(taken);
    take_retained(&folder, again).unwrap();
}

#[test]
fn the_memory_holds_the_tensors_and_is_read_only() {
    let folder = Folder::new();
    let retained = retain(&folder);
    let bytes: Vec<u8> =
        [0f32, 1.0, 2.0, 3.0, 4.0, 5.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    for memory in &retained[1..] {
        assert_eq!(bytes_of(memory)[..24], bytes);
        assert!(File::from(memory.try_clone().unwrap()).write_all_at(&[1], 0).is_err());
    }
}

#[test]
fn weights_of_a_changed_file_are_refused() {
    let folder = Folder::new();
    let retained = retain(&folder);
    // Of the same length and header.
    let mut bytes = file_of(&[matrix("w")]);
    *bytes.last_mut().unwrap() ^= 1;
    folder.remove(TRANSFORMER);
    folder.write(TRANSFORMER, &bytes);
    assert_eq!(refusal(take_retained(&folder, retained)), "the checkpoint's files have changed");
}

#[test]
fn another_folder_of_the_same_files_is_another_checkpoint() {
    let retained = retain(&Folder::new());
    assert_eq!(
        refusal(take_retained(&Folder::new(), retained)),
        "the checkpoint's files have changed"
    );
}

#[test]
fn another_configuration_is_another_model() {
    let folder = Folder::new();
    let retained = retain(&folder);
    folder.set("transformer/config.json", "rope_theta", Some(json!(128.0)));
    assert_eq!(refusal(take_retained(&folder, retained)), "the model's configuration has changed");
}

#[test]
fn another_kind_has_another_layout() {
    let folder = Folder::new();
    let retained = retain(&folder);
    let refusal = refusal(take_retained_as(&folder, retained, Kind::BFloat16));
    assert_eq!(refusal, "the memory layout differs");
}

#[test]
fn one_bit_that_changed_is_found_by_the_checksum() {
    let folder = Folder::new();
    for part in 1..4 {
        for at in [0, 23, BYTES as usize - 1] {
            let mut retained = retain(&folder);
            let mut bytes = bytes_of(&retained[part]);
            bytes[at] ^= 4;
            retained[part] = sealed(&bytes);
            assert_eq!(
                refusal(take_retained(&folder, retained)),
                "their checksum is wrong",
                "{part} {at}"
            );
        }
    }
}

#[test]
fn unsealed_memory_is_refused() {
    let folder = Folder::new();
    for seals in [SealFlags::empty(), SEALS - SealFlags::WRITE, SEALS - SealFlags::SHRINK] {
        for part in [0, 2] {
            let mut retained = retain(&folder);
            retained[part] = memory(&bytes_of(&retained[part]), seals);
            let refusal = refusal(take_retained(&folder, retained));
            assert!(refusal.contains("it is not sealed"), "{refusal}");
        }
    }
}

#[test]
fn memory_of_another_length_is_not_mapped() {
    let folder = Folder::new();
    for bytes in [0, 100, 4096] {
        let mut retained = retain(&folder);
        retained[2] = sealed(&vec![0; bytes]);
        assert_eq!(
            refusal(take_retained(&folder, retained)),
            format!("the memory has {bytes} bytes instead of {BYTES}")
        );
    }
    let retained = with_manifest(retain(&folder), |manifest| {
        manifest["components"][1]["bytes"] = json!(1u64 << 62);
    });
    assert_eq!(refusal(take_retained(&folder, retained)), "the lengths of the components differ");
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
    let mut retained = retain(&folder);
    retained.swap(1, 2);
    assert_eq!(refusal(take_retained(&folder, retained)), "their checksum is wrong");
}

#[test]
fn another_layout_or_version_or_device_is_not_used() {
    let folder = Folder::new();
    for (key, value, why) in [
        ("layout", json!(0), "another version of zimg loaded them"),
        ("version", json!("0.0.0"), "another version of zimg loaded them"),
        ("device", json!("GPU-0123"), "they are on another device"),
    ] {
        let retained = with_manifest(retain(&folder), |manifest| manifest["identity"][key] = value);
        assert_eq!(refusal(take_retained(&folder, retained)), why);
    }
    let retained = with_manifest(retain(&folder), |manifest| {
        manifest["components"][0]["layout"] = json!("0123");
    });
    assert_eq!(refusal(take_retained(&folder, retained)), "the memory layout differs");
}

#[test]
fn a_truncated_missing_or_oversized_manifest_is_refused() {
    let folder = Folder::new();
    let whole = bytes_of(&retain(&folder)[0]);
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        let mut retained = retain(&folder);
        retained[0] = sealed(&whole[..length]);
        let refusal = refusal(take_retained(&folder, retained));
        assert!(refusal.starts_with("the manifest is damaged: "), "{length}: {refusal}");
    }
    assert_eq!(refusal(take_retained(&folder, Vec::new())), "there is no manifest");
    let mut retained = retain(&folder);
    retained[0] = sealed(&vec![b' '; 1 << 20]);
    assert_eq!(
        refusal(take_retained(&folder, retained)),
        "the manifest cannot be read: file too large"
    );
}

#[test]
fn missing_or_surplus_memory_is_refused() {
    let folder = Folder::new();
    let mut retained = retain(&folder);
    retained.pop();
    assert_eq!(
        refusal(take_retained(&folder, retained)),
        "the manifest and the memory differ in their number of components"
    );
    let mut retained = retain(&folder);
    retained.push(sealed(b"more"));
    assert_eq!(
        refusal(take_retained(&folder, retained)),
        "the manifest and the memory differ in their number of components"
    );
}

#[test]
fn weights_without_identity_are_not_retained() {
    let folder = Folder::new();
    let (_, loader) = take(&folder, Loader::new(), Kind::Float).unwrap();
    assert!(matches!(loader.into_weights().retain(), Err(Error::NotRetained(_))));
}
