//! Folders as people have them: downloads that went wrong are named for what they are, and what the
//! reference loads with a default or a warning is loaded here.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use zimage_checkpoint::{Checkpoint, Content, Error, Inventory};

use crate::copy::Copy;
use crate::folder;

const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TRANSFORMER_INDEX: &str = "transformer/diffusion_pytorch_model.safetensors.index.json";
const LAST_SHARD: &str = "diffusion_pytorch_model-00004-of-00004.safetensors";
const TOKENIZER: &str = "tokenizer/tokenizer.json";
const POINTER: &[u8] =
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 335304388\n";

fn verify(folder: &Path) -> Result<Inventory, Error> {
    Checkpoint::open(folder)?.verify()
}

/// Verifies a copy that `change` changed.
fn changed(change: impl FnOnce(&Copy)) -> Result<Inventory, Error> {
    let copy = Copy::plain();
    change(&copy);
    verify(copy.path())
}

/// Adds a tensor of zeros to a file, and to the transformer's list of shards.
fn add(copy: &Copy, name: &str, listed: bool) {
    let path = format!("transformer/{LAST_SHARD}");
    let data = fs::read(copy.file(&path)).unwrap();
    let length = u64::from_le_bytes(data[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&data[8..8 + length]).unwrap();
    let body = &data[8 + length..];
    let begin = body.len();
    header[name] = json!({"dtype": "F32", "shape": [64], "data_offsets": [begin, begin + 256]});
    let text = header.to_string();
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend([text.as_bytes(), body, &[0; 256]].concat());
    copy.write(&path, &file);
    if listed {
        copy.edit(TRANSFORMER_INDEX, |index| index["weight_map"][name] = LAST_SHARD.into());
    }
}

#[test]
fn files_that_are_something_else_are_named() {
    let page = b"<!DOCTYPE html><title>Sign in</title>".repeat(40);
    let refusal = br#"{"error":"Invalid username or password."}"#;
    for file in [VAE, TOKENIZER, "vae/config.json", TRANSFORMER_INDEX, "model_index.json"] {
        for (bytes, expected) in [
            (POINTER, "a Git LFS pointer to 335304388 bytes, and not the file itself"),
            (&page, "a web page"),
            (b"", "empty"),
        ] {
            let copy = Copy::plain();
            copy.write(file, bytes);
            let error = verify(copy.path()).unwrap_err();
            assert!(matches!(error, Error::Content { .. }), "{error}");
            assert_eq!(copy.sentence(&error), format!("F/{file} is {expected}"));
            assert!(error.hint().is_some_and(|hint| hint.contains(' ')));
        }
    }
    let error = changed(|copy| copy.write(VAE, refusal)).unwrap_err();
    assert!(matches!(error, Error::Content { content: Content::Text(_), .. }), "{error}");
}

/// Every JSON file of a checkpoint, with every kind of value in its place, in other encodings and cut.
#[test]
fn json_that_is_something_else_is_said_in_words_of_json() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for file in [
        "model_index.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "text_encoder/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
        TOKENIZER,
    ] {
        for (bytes, said) in [
            (b"false".to_vec(), "it is `false`, expected an object"),
            (b"7".to_vec(), "it is a number, expected an object"),
            (b"\"x\"".to_vec(), "it is text in quotes, expected an object"),
            (b"null".to_vec(), "it is `null`, expected an object"),
            (b"[1, 2]".to_vec(), "it is a list, expected an object"),
            (b"{\"a\": 1".to_vec(), "it is cut: it ends in line 1"),
            (b"{'a': 1}".to_vec(), "line 1, column 2: "),
            (utf16("{}"), "is UTF-16 text, expected UTF-8"),
            (utf16("\u{feff}{}"), "is UTF-16 text, expected UTF-8"),
            (b"\xef\xbb\xbf{}".to_vec(), "with a byte order mark"),
        ] {
            let copy = Copy::plain();
            copy.write(file, &bytes);
            let error = verify(copy.path()).unwrap_err();
            let sentence = copy.sentence(&error);
            assert!(sentence.starts_with(&format!("F/{file} is ")), "{sentence}");
            assert!(sentence.contains(said), "{sentence}");
            let hint = error.hint().unwrap();
            let path = copy.file(file).display().to_string();
            assert!(!bytes.contains(&0) || hint.contains(&path), "{sentence}: {hint}");
        }
    }
}

#[test]
fn a_tokenizer_is_read_and_named() {
    let mark = |copy: &Copy| {
        let bytes = fs::read(copy.file(TOKENIZER)).unwrap();
        copy.write(TOKENIZER, &[b"\xef\xbb\xbf", &bytes[..]].concat());
    };
    let error = changed(mark).unwrap_err();
    assert!(matches!(error, Error::Content { content: Content::ByteOrderMark, .. }), "{error}");
    let cut = |copy: &Copy| {
        let bytes = fs::read(copy.file(TOKENIZER)).unwrap();
        copy.write(TOKENIZER, &bytes[..bytes.len() / 2]);
    };
    let changes: [&dyn Fn(&Copy); 5] = [
        &cut,
        &|copy| copy.write(TOKENIZER, b"{}"),
        &|copy| copy.edit(TOKENIZER, |file| file["model"]["type"] = "Unigram".into()),
        &|copy| copy.edit(TOKENIZER, |file| file["added_tokens"] = json!([])),
        // The text encoder has 488 embeddings.
        &|copy| copy.edit(TOKENIZER, |file| file["model"]["vocab"]["zzz"] = 488.into()),
    ];
    for change in changes {
        let error = changed(change).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
        assert!(error.to_string().contains(TOKENIZER), "{error}");
    }
}

#[test]
fn a_variant_is_read_where_nothing_else_is() {
    let half = "vae/diffusion_pytorch_model.fp16.safetensors";
    let inventory = changed(|copy| copy.rename(VAE, half)).unwrap();
    assert!(inventory.remarks[0].contains("the variant fp16"), "{inventory:?}");
    for index in [
        "transformer/diffusion_pytorch_model.safetensors.index.fp16.json",
        "transformer/diffusion_pytorch_model.fp16.safetensors.index.json",
    ] {
        let inventory = changed(|copy| copy.rename(TRANSFORMER_INDEX, index)).unwrap();
        assert!(inventory.remarks[0].contains("the variant fp16"), "{inventory:?}");
    }
}

#[test]
fn pickles_alone_are_refused_by_name() {
    let copy = Copy::plain();
    copy.rename(VAE, "vae/diffusion_pytorch_model.bin");
    let error = verify(copy.path()).unwrap_err();
    let sentence =
        format!("F/{VAE} is missing: diffusion_pytorch_model.bin beside it is a PyTorch pickle");
    assert_eq!(copy.sentence(&error), sentence);
}

#[test]
fn what_has_nearly_the_right_name_is_named() {
    let unfinished = "its download was not finished: fetch the checkpoint again";
    for (from, to, hint) in [
        (VAE, "vae/diffusion_pytorch_model (1).safetensors", "rename it: `mv "),
        (VAE, "vae/diffusion_pytorch_model.safetensors.part", unfinished),
        (VAE, "vae/diffusion_pytorch_model.safetensors.incomplete", unfinished),
        (VAE, "vae/Diffusion_Pytorch_Model.safetensors", "rename it: `mv "),
        ("vae/config.json", "vae/config.json.txt", "rename it: `mv "),
        ("transformer", "Transformer", "rename it: `mv "),
        (TOKENIZER, "tokenizer/tokenizer.json.crdownload", unfinished),
    ] {
        let copy = Copy::plain();
        copy.rename(from, to);
        let error = verify(copy.path()).unwrap_err();
        assert!(matches!(error, Error::Misnamed { .. }), "{to}: {error}");
        assert!(
            copy.sentence(&error).ends_with(&format!(" is missing, but there is F/{to}")),
            "{error}"
        );
        assert!(error.hint().unwrap().starts_with(hint), "{to}");
        // The command repairs it.
        if hint != unfinished {
            let command = error.hint().unwrap().replace("rename it: `", "").replace('`', "");
            let ran = std::process::Command::new("sh").args(["-c", &command]).status().unwrap();
            assert!(ran.success() && verify(copy.path()).is_ok(), "{command}");
        }
    }
}

#[test]
fn a_folder_too_high_or_too_deep_names_the_right_one() {
    let copy = Copy::plain();
    let error = verify(&copy.file("transformer")).unwrap_err();
    let hint = format!("{} has one: give that folder", copy.path().display());
    assert_eq!(error.hint().as_deref(), Some(&*hint));
    let above = tempfile::tempdir().unwrap();
    let inner = above.path().join("Z-Image-Turbo");
    folder::copy(copy.path(), &inner);
    let error = verify(above.path()).unwrap_err();
    assert!(matches!(error, Error::NotACheckpoint { .. }), "{error}");
    let hint = format!("{} has one: give that folder", inner.display());
    assert_eq!(error.hint().as_deref(), Some(&*hint));
}

#[test]
fn one_file_of_a_checkpoint_or_an_address_names_what_to_give() {
    let copy = Copy::plain();
    let shard = format!("transformer/{LAST_SHARD}");
    for file in ["model_index.json", "vae/config.json", TRANSFORMER_INDEX, &shard] {
        let error = verify(&copy.file(file)).unwrap_err();
        assert!(matches!(error, Error::OneOfMany { .. }), "{file}: {error}");
        assert_eq!(
            error.hint().as_deref(),
            Some(&*format!("give the folder {}", copy.path().display()))
        );
    }
    let page = Path::new("https://huggingface.co/Tongyi-MAI/Z-Image-Turbo");
    let hint = "fetch it: `zimg pull Tongyi-MAI/Z-Image-Turbo`";
    assert_eq!(verify(page).unwrap_err().hint().as_deref(), Some(hint));
}

#[test]
fn a_list_may_name_its_folder() {
    let dotted = |copy: &Copy| {
        copy.edit(TRANSFORMER_INDEX, |index| {
            for shard in index["weight_map"].as_object_mut().unwrap().values_mut() {
                *shard = format!("./{}", shard.as_str().unwrap()).into();
            }
        });
    };
    let plain = changed(|_| ()).unwrap();
    assert_eq!(changed(dotted).unwrap().parameters(), plain.parameters());
}

#[test]
fn known_leftovers_are_remarked_and_unknown_ones_refused() {
    for name in ["norm_final.weight", "rope_embedder.freqs_cis"] {
        for listed in [true, false] {
            let inventory = changed(|copy| add(copy, name, listed)).unwrap();
            assert!(inventory.remarks.iter().any(|line| line.contains(name)), "{inventory:?}");
        }
    }
    let error = changed(|copy| add(copy, "layers.0.extra.weight", true)).unwrap_err();
    assert!(matches!(&error, Error::SurplusTensors { names, .. } if names.len() == 1), "{error}");
    let error = changed(|copy| add(copy, "layers.0.extra.weight", false)).unwrap_err();
    assert!(matches!(error, Error::Index { .. }), "{error}");
}

/// Keys whose value in the checkpoint is the reference's default: without them it is the same.
#[test]
fn what_is_left_out_or_null_has_the_references_default() {
    let whole = Checkpoint::open(Copy::plain().path()).unwrap();
    for (file, keys) in [
        (
            "transformer/config.json",
            &[
                "all_patch_size",
                "all_f_patch_size",
                "in_channels",
                "n_refiner_layers",
                "norm_eps",
                "qk_norm",
                "rope_theta",
                "t_scale",
                "siglip_feat_dim",
                "_class_name",
            ][..],
        ),
        (
            "text_encoder/config.json",
            &[
                "hidden_act",
                "rms_norm_eps",
                "attention_bias",
                "use_sliding_window",
                "layer_types",
                "rope_scaling",
                "sliding_window",
                "model_type",
            ],
        ),
        (
            "vae/config.json",
            &[
                "in_channels",
                "out_channels",
                "act_fn",
                "force_upcast",
                "mid_block_add_attention",
                "latents_mean",
                "latents_std",
                "_class_name",
            ],
        ),
        (
            "scheduler/scheduler_config.json",
            &[
                "num_train_timesteps",
                "use_dynamic_shifting",
                "shift_terminal",
                "invert_sigmas",
                "_class_name",
            ],
        ),
    ] {
        for key in keys {
            for value in [None, Some(Value::Null)] {
                let copy = Copy::plain();
                copy.edit(file, |config| {
                    let config = config.as_object_mut().unwrap();
                    config.remove(*key);
                    config.extend(value.map(|value| ((*key).to_owned(), value)));
                });
                let open = Checkpoint::open(copy.path()).unwrap();
                assert_eq!(open.transformer, whole.transformer, "{file} {key}");
                assert_eq!(open.text_encoder, whole.text_encoder, "{file} {key}");
                assert_eq!(open.vae, whole.vae, "{file} {key}");
                assert_eq!(open.scheduler, whole.scheduler, "{file} {key}");
            }
        }
    }
}

/// Defaults that differ from this checkpoint's values: those of the constructors.
#[test]
fn defaults_are_those_of_the_constructors() {
    let copy = Copy::plain();
    for (file, keys) in [
        ("transformer/config.json", &["axes_lens"][..]),
        ("text_encoder/config.json", &["rope_theta", "max_position_embeddings"]),
        ("vae/config.json", &["sample_size", "scaling_factor"]),
        ("scheduler/scheduler_config.json", &["shift"]),
    ] {
        copy.edit(file, |config| {
            keys.iter().for_each(|key| drop(config.as_object_mut().unwrap().remove(*key)));
        });
    }
    let open = Checkpoint::open(copy.path()).unwrap();
    assert_eq!(open.transformer.axes_lens, [1024, 512, 512]);
    assert_eq!((open.text_encoder.rope_theta, open.vae.scaling_factor), (1e4, 0.18215));
    assert_eq!(open.text_encoder.max_position_embeddings, 32_768);
    assert_eq!((open.vae.sample_size, open.scheduler.shift), (32, 1.0));
}

#[test]
fn sibling_pipelines_with_the_same_parts_load() {
    for class in [
        "ZImageImg2ImgPipeline",
        "ZImageInpaintPipeline",
        "ZImageControlNetPipeline",
        "ZImageControlNetInpaintPipeline",
    ] {
        let named = |copy: &Copy| {
            copy.edit("model_index.json", |index| index["_class_name"] = class.into());
        };
        changed(named).unwrap();
    }
    let other = |copy: &Copy| {
        copy.edit("model_index.json", |index| index["_class_name"] = "Lumina2Pipeline".into());
    };
    assert!(matches!(changed(other).unwrap_err(), Error::Architecture { .. }));
}
