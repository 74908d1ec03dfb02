//! Configurations: both dialects are read; other models and impossible values are refused.

use serde_json::{Value, json};
use zimage::ErrorKind;

use crate::folder::Folder;

const TRANSFORMER: &str = "transformer/config.json";
const TEXT_ENCODER: &str = "text_encoder/config.json";
const VAE: &str = "vae/config.json";
const SCHEDULER: &str = "scheduler/scheduler_config.json";

#[test]
fn a_checkpoint_says_its_dimensions() {
    let checkpoint = Folder::new().open().unwrap();
    assert_eq!(checkpoint.transformer.dim, 32);
    assert_eq!(checkpoint.transformer.head_dim(), 16);
    assert_eq!(checkpoint.transformer.patch_size(), 2);
    assert_eq!(checkpoint.transformer.axes_lens, [1536, 512, 512]);
    assert_eq!(checkpoint.text_encoder.rope_theta, 1e6);
    assert_eq!(checkpoint.vae.scale(), 2);
    assert_eq!(checkpoint.vae.shift_factor, 0.1159);
    assert_eq!(checkpoint.scheduler.shift, 3.0);
}

#[test]
fn the_dialect_of_transformers_5_is_read() {
    let folder = Folder::new();
    for key in ["rope_theta", "rope_scaling", "torch_dtype"] {
        folder.set(TEXT_ENCODER, key, None);
    }
    folder.set(TEXT_ENCODER, "dtype", Some(json!("bfloat16")));
    folder.set(TEXT_ENCODER, "layer_types", Some(json!(vec!["full_attention"; 3])));
    let rope = json!({"rope_theta": 5e5, "rope_type": "default"});
    folder.set(TEXT_ENCODER, "rope_parameters", Some(rope));
    assert_eq!(folder.open().unwrap().text_encoder.rope_theta, 5e5);
}

#[test]
fn what_old_files_lack_has_its_default() {
    let folder = Folder::new();
    folder.set(TRANSFORMER, "siglip_feat_dim", None);
    folder.set(SCHEDULER, "use_dynamic_shifting", None);
    folder.set(SCHEDULER, "shift_terminal", None);
    folder.open().unwrap();
}

/// A file, a key of it, the value it gets, and what is said.
type Case = (&'static str, &'static str, Option<Value>, &'static str);

fn check(cases: impl IntoIterator<Item = Case>) {
    for (file, key, value, sentence) in cases {
        let folder = Folder::new();
        folder.set(file, key, value);
        let error = folder.open().unwrap_err();
        assert_eq!(folder.sentence(&error), sentence);
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
    }
}

#[test]
fn other_models_are_refused() {
    check([
        (
            "model_index.json",
            "_class_name",
            Some(json!("FluxPipeline")),
            "F/model_index.json has the _class_name FluxPipeline, but this program needs ZImagePipeline",
        ),
        (
            TRANSFORMER,
            "_class_name",
            Some(json!("FluxTransformer2DModel")),
            "F/transformer/config.json has the _class_name FluxTransformer2DModel, but this program needs ZImageTransformer2DModel",
        ),
        (
            TEXT_ENCODER,
            "model_type",
            Some(json!("t5")),
            "F/text_encoder/config.json has the model_type t5, but this program needs qwen3",
        ),
        (
            "model_index.json",
            "_class_name",
            None,
            "F/model_index.json: it has no _class_name, which must be ZImagePipeline",
        ),
        (
            SCHEDULER,
            "_class_name",
            Some(json!("DDIMScheduler")),
            "F/scheduler/scheduler_config.json has the _class_name DDIMScheduler, but this program needs FlowMatchEulerDiscreteScheduler",
        ),
        (
            TRANSFORMER,
            "siglip_feat_dim",
            Some(json!(1152)),
            "F/transformer/config.json: siglip_feat_dim is set: the Omni variant, which also reads images, is not supported",
        ),
    ]);
}

#[test]
fn settings_that_are_not_implemented_are_refused() {
    check([
        (
            SCHEDULER,
            "use_dynamic_shifting",
            Some(json!(true)),
            "F/scheduler/scheduler_config.json: use_dynamic_shifting is true, but only false is supported",
        ),
        (
            TEXT_ENCODER,
            "rope_scaling",
            Some(json!({"type": "yarn", "factor": 4.0})),
            "F/text_encoder/config.json: rope_type is \"yarn\", but only \"default\" is supported",
        ),
        (
            TEXT_ENCODER,
            "layer_types",
            Some(json!(["full_attention", "sliding_attention"])),
            "F/text_encoder/config.json: an entry of layer_types is \"sliding_attention\", but only \"full_attention\" is supported",
        ),
        (
            VAE,
            "use_quant_conv",
            Some(json!(true)),
            "F/vae/config.json: use_quant_conv is true, but only false is supported",
        ),
    ]);
}

#[test]
fn impossible_values_are_refused() {
    check([
        (
            TRANSFORMER,
            "dim",
            Some(json!(0)),
            "F/transformer/config.json: dim is 0, but must be from 1 to 131072",
        ),
        (
            TRANSFORMER,
            "dim",
            Some(json!(i64::MAX)),
            "F/transformer/config.json: dim is 9223372036854775807, but must be from 1 to 131072",
        ),
        (
            TRANSFORMER,
            "n_heads",
            Some(json!(0)),
            "F/transformer/config.json: n_heads is 0, but must be from 1 to 131072",
        ),
        (
            TRANSFORMER,
            "n_kv_heads",
            Some(json!(1)),
            "F/transformer/config.json: n_kv_heads is 1, but n_heads is 2",
        ),
        (
            TRANSFORMER,
            "dim",
            Some(json!(33)),
            "F/transformer/config.json: dim is 33, which is no multiple of n_heads, 2",
        ),
        (
            TRANSFORMER,
            "axes_dims",
            Some(json!([4, 6, 8])),
            "F/transformer/config.json: dim / n_heads is 16, but the sum of axes_dims is 18",
        ),
        (
            TRANSFORMER,
            "axes_dims",
            Some(json!([3, 7, 6])),
            "F/transformer/config.json: an entry of axes_dims is 3, which must be even",
        ),
        (
            TRANSFORMER,
            "axes_lens",
            Some(json!([1536, 512])),
            "F/transformer/config.json: axes_lens has 2 entries, but must have 3",
        ),
        (
            TRANSFORMER,
            "all_patch_size",
            Some(json!([])),
            "F/transformer/config.json: all_patch_size is [], but must be one size from 1 to 16",
        ),
        (
            TRANSFORMER,
            "cap_feat_dim",
            Some(json!(25)),
            "F/transformer/config.json: cap_feat_dim is 25, but the text encoder's hidden_size is 24",
        ),
        (
            VAE,
            "latent_channels",
            Some(json!(4)),
            "F/transformer/config.json: in_channels is 16, but the VAE's latent_channels is 4",
        ),
        (
            VAE,
            "block_out_channels",
            Some(json!([8, 18])),
            "F/vae/config.json: an entry of block_out_channels is 18, which is no multiple of norm_num_groups, 4",
        ),
        (
            TEXT_ENCODER,
            "num_key_value_heads",
            Some(json!(3)),
            "F/text_encoder/config.json: num_attention_heads is 4, which is no multiple of num_key_value_heads, 3",
        ),
        (
            TEXT_ENCODER,
            "num_hidden_layers",
            Some(json!(1_000_000)),
            "F/text_encoder/config.json: num_hidden_layers is 1000000, but must be from 1 to 1024",
        ),
        (
            VAE,
            "shift_factor",
            None,
            "F/vae/config.json: shift_factor is null, but must be a number",
        ),
        (
            SCHEDULER,
            "shift",
            Some(json!(-1.0)),
            "F/scheduler/scheduler_config.json: shift is -1, but must be above 0",
        ),
    ]);
}

#[test]
fn damaged_json_names_its_file_and_place() {
    let folder = Folder::new();
    folder.write(TRANSFORMER, b"{\"_class_name\": ");
    assert_eq!(
        folder.sentence(&folder.open().unwrap_err()),
        "F/transformer/config.json is not valid: it is cut: it ends in line 1"
    );
    let folder = Folder::new();
    folder.set(TRANSFORMER, "dim", Some(json!("wide")));
    let sentence = folder.sentence(&folder.open().unwrap_err());
    let start = "F/transformer/config.json is not valid: `dim`: it is string \"wide\", expected a whole number";
    assert!(sentence.starts_with(start), "{sentence}");
}
