//! Quantised files: the loader has the numbers of the tools that define the encodings, rounded once.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use tch::{Device, Kind, Tensor};
use zimage::checkpoint::Component;
use zimage::weights::{Loader, Target};

use crate::folder::{Folder, TRANSFORMER};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/encodings")).join(name)
}

/// The tensors of a file in the place of a transformer, as the loader has them.
fn loaded(file: &str, kind: Kind, tensors: &HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    let folder = Folder::new();
    folder.write(TRANSFORMER, &fs::read(fixture(file)).unwrap());
    let checkpoint = folder.open().unwrap();
    let target = Target { device: Device::Cpu, kind };
    let mut loader = Loader::new();
    let mut weights = loader.weights(&checkpoint, Component::Transformer, target).unwrap();
    weights.skip("old.bias");
    let mut found = HashMap::new();
    for (name, wanted) in tensors {
        let in_file = [name.clone(), format!("model.diffusion_model.{name}")];
        if let Some(in_file) = in_file.iter().find(|name| weights.has(name)) {
            found.insert(name.clone(), weights.take(in_file, &wanted.size()).unwrap());
        }
    }
    weights.finish().unwrap();
    let mut most = 0;
    loader.run(&mut |progress| most = most.max(progress.done)).unwrap();
    let bytes = fs::metadata(fixture(file)).unwrap().len();
    assert!(most > 0 && most <= bytes, "{most} of {bytes} bytes were read");
    found.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect()
}

#[test]
fn the_loader_has_the_numbers_of_the_tools() {
    let expected = Tensor::read_safetensors(fixture("expected.safetensors")).unwrap();
    let expected: HashMap<String, Tensor> = expected.into_iter().collect();
    let mut all = 0;
    for file in
        ["blocks.gguf", "comfy_quant.safetensors", "metadata.safetensors", "scaled_fp8.safetensors"]
    {
        for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
            for (name, found) in loaded(file, kind, &expected) {
                assert_eq!(found.kind(), kind);
                assert!(found == expected[&name].to_kind(kind), "{file}: {name} as {kind:?}");
                all += 1;
            }
        }
    }
    assert_eq!(all, 3 * (20 + 15 + 14 + 1));
}
