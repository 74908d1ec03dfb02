//! Layouts of other programs: the image is that of the diffusers folder, to the bit.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::PathBuf;

use zimage::checkpoint::{ModelFiles, ModelKind, PrepareOptions, PreparePlan, PreparedType};
use zimage::{Checkpoint, DType, Image, Params, Pipeline};

#[path = "../../../tests/src/folder.rs"]
pub mod folder;
pub mod pipeline;
use folder::copied;
use pipeline::{fixture, generate, loaded, options, params};

/// The folder `plain` with the groups of norms that are inferred where there is no configuration.
fn plain() -> tempfile::TempDir {
    let folder = copied(&fixture("reference/plain"));
    let path = folder.path().join("vae/config.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["norm_num_groups"] = 8.into();
    fs::write(path, config.to_string()).unwrap();
    folder
}

fn opened(files: &ModelFiles, dtype: DType) -> Pipeline {
    loaded(&Checkpoint::open_files(files).unwrap(), options(dtype))
}

fn image(files: &ModelFiles, dtype: DType) -> Image {
    generate(&opened(files, dtype), &params(2)).unwrap().1
}

#[test]
fn layouts_without_loss_give_the_same_image_to_the_bit() {
    let folder = plain();
    let all_in_one = fixture("layouts/all-in-one.safetensors");
    let tokenizer = Some(folder.path().join("tokenizer"));
    let files = |model: PathBuf| ModelFiles {
        tokenizer: tokenizer.clone(),
        kind: Some(ModelKind::Turbo),
        ..ModelFiles::at(&model)
    };
    let gguf = ModelFiles {
        text_encoder: Some(fixture("layouts/text_encoder.gguf")),
        vae: Some(all_in_one.clone()),
        ..files(fixture("layouts/transformer.gguf"))
    };
    for dtype in [DType::Float32, DType::BFloat16] {
        let expected = image(&ModelFiles::at(folder.path()), dtype);
        for (name, files) in [("all in one", &files(all_in_one.clone())), ("GGUF", &gguf)] {
            assert!(image(files, dtype) == expected, "{name} as {dtype}");
        }
    }
}

#[test]
fn prepared_files_give_the_image_of_their_origin_to_the_bit() {
    let origin = fixture("reference/plain");
    let checkpoint = Checkpoint::open(&origin).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (prepared, dtype) in [
        (PreparedType::BFloat16, DType::BFloat16),
        (PreparedType::Float8, DType::Float8),
        (PreparedType::Int8, DType::Int8),
        (PreparedType::Int8, DType::Int8Float16),
    ] {
        let options = PrepareOptions { dtype: prepared, ..PrepareOptions::default() };
        let path = folder.path().join(format!("{prepared}.safetensors"));
        let plan = PreparePlan::new(&checkpoint, &options).unwrap();
        plan.write(&fs::File::create(&path).unwrap(), &mut |_| true).unwrap();
        let expected = image(&ModelFiles::at(&origin), dtype);
        assert!(image(&ModelFiles::at(&path), dtype) == expected, "{prepared}");
    }
}

#[test]
fn each_kind_has_its_own_steps_and_guidance() {
    let folder = plain();
    for (kind, steps, guidance) in [(ModelKind::Turbo, 8, 0.0), (ModelKind::Base, 28, 4.0)] {
        let files = ModelFiles {
            tokenizer: Some(folder.path().join("tokenizer")),
            kind: Some(kind),
            ..ModelFiles::at(&fixture("layouts/all-in-one.safetensors"))
        };
        let pipeline = opened(&files, DType::Float32);
        let params = Params { prompt: "a fox".into(), ..Params::default() };
        let plan = pipeline.resolve(&params).unwrap();
        assert_eq!((plan.steps, plan.guidance), (steps, guidance), "{kind}");
        let params = Params { steps: Some(9), guidance: Some(1.5), ..params };
        let plan = pipeline.resolve(&params).unwrap();
        assert_eq!((plan.steps, plan.guidance), (9, 1.5), "{kind}");
    }
}
