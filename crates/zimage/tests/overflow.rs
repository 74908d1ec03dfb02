//! float16 does not overflow, in whatever form the weights lie and wherever they are: with outliers as
//! large as those of the real model it stays near float32.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::File;
use std::path::Path;

use tch::{Kind, Tensor};
use tempfile::TempDir;
use zimage::checkpoint::{ModelFiles, ModelKind, PrepareOptions, PreparePlan, PreparedType};
use zimage::{Checkpoint, DType, Error, Options, Residency};

pub mod forms;
pub mod pipeline;
use forms::{Quantise, changed, comfy, write_gguf};
use pipeline::{distance, fixture, generate, loaded, options, params};

/// The model's parts whose outputs are large, and by what they are multiplied here. In the real model
/// the input of `w2` reaches 6.6e4, and the outputs of `to_out` and `w2` 9e5, which the norms after
/// them take out again.
const OUTLIERS: [(&str, f64); 4] = [
    ("feed_forward.w3.weight", 2e3),
    ("feed_forward.w2.weight", 200.0),
    ("attention.to_v.weight", 1e3),
    ("attention.to_out.0.weight", 400.0),
];

/// The fixture `plain` with outliers, `more` times as large behind the last product.
fn planted(more: f64) -> TempDir {
    changed(&fixture("reference/plain"), &["transformer"], |_, tensors| {
        let grown = |(name, tensor): (String, Tensor)| {
            let found = OUTLIERS.iter().find(|(part, _)| name.ends_with(part));
            let last = name.ends_with("w2.weight") || name.ends_with("to_out.0.weight");
            let factor = found.map_or(1.0, |(_, factor)| factor * if last { more } else { 1.0 });
            // As bfloat16 holds it, which is what integers are made of.
            (name, (tensor * factor).to_kind(Kind::BFloat16).to_kind(Kind::Float))
        };
        tensors.into_iter().map(grown).collect()
    })
}

/// A form of the planted weights: what it is read from, and with which options.
struct Form {
    name: &'static str,
    checkpoint: Checkpoint,
    /// The dtype of float16, and that of float32 with the same numbers.
    dtypes: [DType; 2],
    packed: bool,
}

/// All forms, in this folder.
fn forms(plain: &TempDir, folder: &TempDir) -> Vec<Form> {
    let opened = |path: &Path| Checkpoint::open_files(&ModelFiles::at(path)).unwrap();
    let float16 = [DType::Float16, DType::Float32];
    let form = |name, checkpoint, dtypes, packed| Form { name, checkpoint, dtypes, packed };
    let quantised = |format: &str, quantise: Quantise| {
        let change = |_: &str, tensors| comfy(tensors, format, quantise);
        let changed = changed(plain.path(), &["transformer"], change).keep();
        let path = folder.path().join(format);
        std::fs::rename(&changed, &path).unwrap();
        opened(&path)
    };
    let convrot = folder.path().join("int8.safetensors");
    let prepare = PrepareOptions { dtype: PreparedType::Int8, ..PrepareOptions::default() };
    let plan = PreparePlan::new(&opened(plain.path()), &prepare).unwrap();
    plan.write(&File::create(&convrot).unwrap(), &mut |_| true).unwrap();
    let blocks = folder.path().join("model.gguf");
    changed(plain.path(), &["transformer"], |_, tensors| {
        write_gguf(&tensors, &blocks);
        tensors
    });
    let all_in_one = fixture("layouts/all-in-one.safetensors");
    let gguf = ModelFiles {
        text_encoder: Some(all_in_one.clone()),
        vae: Some(all_in_one),
        tokenizer: Some(fixture("reference/plain/tokenizer")),
        kind: Some(ModelKind::Turbo),
        ..ModelFiles::at(&blocks)
    };
    vec![
        form("plain", opened(plain.path()), float16, false),
        form("GGUF", Checkpoint::open_files(&gguf).unwrap(), float16, true),
        form("float8", quantised("float8_e4m3fn", forms::float8), float16, true),
        form("int8", quantised("int8_tensorwise", forms::int8), float16, true),
        form("int8 ConvRot", opened(&convrot), float16, true),
        form("int8, of plain", opened(plain.path()), [DType::Int8Float16, DType::Int8], true),
    ]
}

#[test]
fn float16_does_not_overflow_in_any_form() {
    let (plain, folder) = (planted(1.0), tempfile::tempdir().unwrap());
    for Form { name, checkpoint, dtypes: [dtype, wide], packed } in forms(&plain, &folder) {
        let at = |dtype, residency| {
            let options = Options { residency, packed, ..options(dtype) };
            generate(&loaded(&checkpoint, options), &params(2)).unwrap()
        };
        let (expected, _) = at(wide, Residency::All);
        // bfloat16 has three bits less.
        let limit = if wide == DType::Int8 { 6e-2 } else { 2e-2 };
        for residency in [Residency::All, Residency::part(0, false)] {
            let (found, image) = at(dtype, residency);
            let far = distance(&found, &expected);
            assert!(far < limit, "{name}, {residency:?}: float16 is {far} from {wide}");
            assert!(image.rgb.iter().any(|&value| value != image.rgb[0]), "{name} is flat");
        }
    }
}

/// The outliers are as large as those of the real model: sixteen times as large they are beyond what
/// float16 can hold with its guard, 128 · 65504, so here they are at least 5.2e5.
#[test]
fn outliers_are_as_large_as_the_real_ones() {
    let plain = planted(16.0);
    let checkpoint = Checkpoint::open(plain.path()).unwrap();
    let expected = generate(&loaded(&checkpoint, options(DType::Float32)), &params(2)).unwrap().0;
    match generate(&loaded(&checkpoint, options(DType::Float16)), &params(2)) {
        Err(error) => assert!(matches!(error, Error::NotFinite(_)), "{error}"),
        Ok((found, _)) => panic!("float16 is {} from float32", distance(&found, &expected)),
    }
}
