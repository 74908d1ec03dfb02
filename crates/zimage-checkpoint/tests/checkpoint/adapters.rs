//! Adapters: every spelling is read, and what is none of this model is refused with what it is.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use zimage_checkpoint::Checkpoint;
use zimage_checkpoint::adapter::{
    Adapter, AdapterDirectories, AdapterError, AdapterKind, DeltaForm, LinearMaps,
};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path)
}

fn maps() -> LinearMaps {
    LinearMaps::of(&Checkpoint::open(&fixture("reference/plain")).unwrap())
}

/// An adapter with zeros of these names and shapes.
fn open(tensors: &[(&str, &[usize])]) -> Result<Adapter, AdapterError> {
    let folder = tempfile::tempdir().unwrap();
    let zeros = vec![0; 1 << 20];
    let views = tensors.iter().map(|(name, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), &zeros[..bytes]).unwrap())
    });
    let path = folder.path().join("x.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    Adapter::open(&path, &maps())
}

#[test]
fn every_fixture_is_described() {
    let (files, remarks) = AdapterDirectories::new(vec![fixture("adapters")]).files();
    assert!(remarks.is_empty());
    let maps = maps();
    let found: HashMap<_, _> = files
        .iter()
        .filter(|file| file.name != "latents")
        .map(|file| (file.name.as_str(), Adapter::open(&file.path, &maps).unwrap().description))
        .collect();
    assert_eq!(found.len(), 22, "{:?}", found.keys());
    for (name, kind, rank, transformer, text_encoder) in [
        ("diffusers", AdapterKind::Lora, Some(4), 49, 0),
        ("ai-toolkit", AdapterKind::Lora, Some(3), 49, 0),
        ("musubi", AdapterKind::Lora, Some(2), 28, 0),
        ("fused-apart", AdapterKind::Lora, Some(2), 28, 0),
        ("fused-shared", AdapterKind::Lora, Some(2), 28, 0),
        ("dots", AdapterKind::Lora, Some(2), 49, 0),
        ("modulation", AdapterKind::Lora, Some(2), 11, 0),
        ("peft-dora", AdapterKind::Dora, Some(2), 28, 0),
        ("peft-loha", AdapterKind::Loha, Some(3), 28, 0),
        ("peft-lokr", AdapterKind::Lokr, Some(4), 49, 0),
        ("lycoris-lokr-full", AdapterKind::Lokr, None, 21, 0),
        ("lycoris-dora-columns", AdapterKind::Dora, Some(2), 21, 0),
        ("text-encoder", AdapterKind::Lora, Some(3), 49, 21),
    ] {
        let description = &found[name];
        assert_eq!((description.kind, description.rank), (kind, rank), "{name}");
        let [(changed, _), (encoder, all)] = description.targets;
        assert_eq!((changed, encoder, all), (transformer, text_encoder, 21), "{name}");
    }
    assert_eq!(found["text-encoder"].remarks.len(), 1, "its last layer is not computed");
}

#[test]
fn alpha_by_rank_is_the_scale() {
    let adapter = Adapter::open(&fixture("adapters/kohya.safetensors"), &maps()).unwrap();
    for delta in &adapter.deltas {
        assert!(matches!(delta.form, Some(DeltaForm::LowRank { scale: 0.5, .. })), "{}", delta.map);
    }
}

#[test]
fn what_is_no_adapter_of_this_model_is_named() {
    type Check = fn(&AdapterError) -> bool;
    let to_q = "layers.0.attention.to_q";
    let (down, up) = (format!("{to_q}.lora_A.weight"), format!("{to_q}.lora_B.weight"));
    let (down, up): (&str, &str) = (&down, &up);
    let other: Check = |error| matches!(error, AdapterError::OtherModel { .. });
    let no_adapter: Check = |error| matches!(error, AdapterError::NotAnAdapter { .. });
    let incomplete: Check = |error| matches!(error, AdapterError::Incomplete { .. });
    let shape: Check = |error| matches!(error, AdapterError::Shape { .. });
    let unsupported: Check = |error| matches!(error, AdapterError::Unsupported { .. });
    for (tensors, check, part) in [
        (
            &[("lora_unet_double_blocks_0_img_attn_proj.lora_down.weight", &[2, 8][..])][..],
            other,
            "FLUX",
        ),
        (
            &[("transformer.transformer_blocks.0.img_mlp.net.2.lora_A.weight", &[2, 8])],
            other,
            "Qwen-Image",
        ),
        (
            &[("lora_unet_input_blocks_4_1_proj_in.lora_down.weight", &[2, 8])],
            other,
            "Stable Diffusion",
        ),
        (
            &[("layers.0.attention.to_q.weight", &[64, 64])],
            no_adapter,
            "without any part of an adapter",
        ),
        (
            &[("layers.0.adaLN_modulation.0.weight", &[256, 64]), ("cap_pad_token", &[1, 64])],
            no_adapter,
            "a model",
        ),
        (&[(down, &[2, 64])], incomplete, "lacks its lora_B"),
        (&[(up, &[64, 2])], incomplete, "lacks its lora_A"),
        (&[(down, &[2, 96]), (up, &[64, 2])], shape, "expected 2 x 64"),
        (&[(down, &[2, 64]), (up, &[128, 2])], shape, "expected 64 rows"),
        (&[(down, &[3, 64]), (up, &[64, 2])], shape, "expected 2 x 64"),
        (&[("layers.0.attention.to_q.hada_t1", &[2, 2, 3, 3])], unsupported, "Tucker"),
        (
            &[
                ("layers.0.attention.to_q.lokr_w1", &[8, 8]),
                ("layers.0.attention.to_q.lokr_w2", &[8, 9]),
            ],
            shape,
            "expected 64 x 64",
        ),
    ] {
        let error = open(tensors).unwrap_err();
        assert!(check(&error) && error.to_string().contains(part), "{tensors:?}: {error}");
    }
}

#[test]
fn keys_that_match_nothing_are_counted_with_the_nearest_names() {
    let good = [
        ("layers.0.attention.to_q.lora_A.weight", &[2, 64][..]),
        ("layers.0.attention.to_q.lora_B.weight", &[64, 2]),
    ];
    let bad = [
        ("layers.2.attention.to_p.lora_A.weight", &[2, 64][..]),
        ("layers.2.attention.to_p.lora_B.weight", &[64, 2]),
    ];
    match open(&[good, bad].concat()).unwrap_err() {
        AdapterError::Unmatched { all, names, nearest, .. } => {
            assert_eq!((all, names.as_slice()), (2, &["layers.2.attention.to_p".to_owned()][..]));
            assert!(nearest.iter().any(|name| name.starts_with("layers.2.attention.to_")));
        }
        other => panic!("{other}"),
    }
    let stray = [("layers.0.attention_norm1.weight", &[64][..])];
    match open(&[&good[..], &stray].concat()).unwrap_err() {
        AdapterError::UnknownKeys { names, .. } => assert_eq!(names.len(), 1),
        other => panic!("{other}"),
    }
    let twice = [
        ("transformer.layers.0.attention.to_q.lora_A.weight", &[2, 64][..]),
        ("transformer.layers.0.attention.to_q.lora_B.weight", &[64, 2]),
    ];
    let error = open(&[good, twice].concat()).unwrap_err();
    assert!(matches!(error, AdapterError::Twice { .. }), "{error}");
}

/// Damaged headers end in an error and no panic.
#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("adapters/musubi.safetensors")).unwrap();
    let path = folder.path().join("x.safetensors");
    for length in [0, 7, 8, 100, 5000, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(Adapter::open(&path, &maps()).is_err(), "{length} bytes");
    }
    for byte in (8..4000).step_by(97) {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x15;
        fs::write(&path, damaged).unwrap();
        let _ = Adapter::open(&path, &maps());
    }
}
