//! Layouts of other programs: every tensor is the diffusers folder's, to the bit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use zimage_checkpoint::{
    Checkpoint, Component, Encoding, Error, LayoutKind, ModelFiles, ModelKind, Number, TensorIndex,
};

use crate::copy::{Copy, fixture};

const ALL_IN_ONE: &str = "tests/fixtures/layouts/all-in-one.safetensors";
const TRANSFORMER_GGUF: &str = "tests/fixtures/layouts/transformer.gguf";
const TEXT_ENCODER_GGUF: &str = "tests/fixtures/layouts/text_encoder.gguf";
/// Beginnings in the file of all components.
const PREFIXES: [&str; 3] =
    ["model.diffusion_model.", "text_encoders.qwen3_4b.transformer.", "vae."];

/// The checkpoint that the files were made of, with the groups that are inferred from its shapes.
fn plain() -> Copy {
    let copy = Copy::plain();
    copy.edit("vae/config.json", |config| config["norm_num_groups"] = 8.into());
    copy
}

/// Its tokenizer: the program's own has more tokens than the model.
fn tokenizer() -> Option<PathBuf> {
    Some(fixture("tests/fixtures/reference/plain/tokenizer"))
}

/// Files in a folder of ComfyUI's, made of the file of all components without its prefixes.
struct ComfyUi(TempDir);

impl ComfyUi {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let comfy = Self(folder);
        comfy.write("diffusion_models/z_image_turbo_bf16.safetensors", PREFIXES[0], "");
        comfy.write("text_encoders/qwen_3_4b.safetensors", PREFIXES[1], "");
        comfy.write("vae/ae.safetensors", PREFIXES[2], "");
        comfy
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes the tensors that begin with `prefix`, with `new` in its place.
    fn write(&self, file: &str, prefix: &str, new: &str) {
        let path = self.file(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, part(prefix, new)).unwrap();
    }

    fn open(&self) -> Result<Checkpoint, Error> {
        open(self.path())
    }
}

fn part(prefix: &str, new: &str) -> Vec<u8> {
    let bytes = fs::read(fixture(ALL_IN_ONE)).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<(String, TensorView<'_>)> = all
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| Some((format!("{new}{}", name.strip_prefix(prefix)?), view)))
        .collect();
    safetensors::serialize(tensors, None).unwrap()
}

fn open(model: &Path) -> Result<Checkpoint, Error> {
    Checkpoint::open_files(&ModelFiles { tokenizer: tokenizer(), ..ModelFiles::at(model) })
}

/// A tensor's numbers as float32.
fn numbers(index: &mut TensorIndex, name: &str, shape: &[i64]) -> Vec<f32> {
    let (file, stored) = index.take(name, shape).unwrap();
    let mut bytes = vec![0; stored.bytes as usize];
    index.files[file].read_exact_at(&mut bytes, stored.offset).unwrap();
    if stored.encoding == Encoding::Plain(Number::Bf16) {
        let pairs = bytes.chunks_exact(2);
        return pairs
            .map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16))
            .collect();
    }
    assert_eq!(stored.encoding, Encoding::Plain(Number::F32), "{name}");
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Checks that `other` is the same model as the folder, with the same numbers.
fn assert_same(other: &Checkpoint) {
    let plain = plain();
    let folder = Checkpoint::open(plain.path()).unwrap();
    assert_eq!(other.transformer, folder.transformer);
    assert_eq!(other.text_encoder, folder.text_encoder);
    assert_eq!(other.vae, folder.vae);
    assert_eq!(other.scheduler, folder.scheduler);
    other.verify().unwrap();
    for component in Component::ALL {
        let [mut ours, mut theirs] =
            [&folder, other].map(|checkpoint| checkpoint.tensor_index(component).unwrap());
        for expected in folder.architecture(component).tensors {
            let [ours, theirs] = [&mut ours, &mut theirs]
                .map(|index| numbers(index, &expected.name, &expected.shape));
            assert!(ours == theirs, "{component} {}", expected.name);
        }
    }
}

#[test]
fn all_in_one_file_is_the_same_model() {
    let checkpoint = open(&fixture(ALL_IN_ONE)).unwrap();
    assert_same(&checkpoint);
    assert_eq!(
        (checkpoint.name.as_str(), checkpoint.layout()),
        ("all-in-one", LayoutKind::AllInOne)
    );
    let inventory = checkpoint.inventory().unwrap();
    assert_eq!((inventory.files(), inventory.kind.kind), (1, ModelKind::Turbo));
    assert!(inventory.kind.because.contains("Z-Image-Turbo"), "{}", inventory.kind);
}

#[test]
fn folders_of_comfyui_are_the_same_model() {
    let comfy = ComfyUi::new();
    let checkpoint = comfy.open().unwrap();
    assert_same(&checkpoint);
    assert_eq!(checkpoint.name, "z_image_turbo_bf16");
    assert_eq!(checkpoint.layout(), LayoutKind::ComfyUi);
    // The folder above, and the transformer's file alone, find the same.
    let root = tempfile::tempdir().unwrap();
    symlink(comfy.path(), root.path().join("models")).unwrap();
    assert_same(&open(root.path()).unwrap());
    assert_same(&open(&comfy.file("diffusion_models/z_image_turbo_bf16.safetensors")).unwrap());
}

#[test]
fn an_inventory_has_one_line_for_each_fact() {
    let comfy = ComfyUi::new();
    let broken = comfy.file("vae/a\nmodel = \"b\"");
    fs::rename(comfy.file("vae/ae.safetensors"), &broken).unwrap();
    let base = ModelFiles {
        tokenizer: tokenizer(),
        kind: Some(ModelKind::Base),
        ..ModelFiles::at(comfy.path())
    };
    let lines = Checkpoint::open_files(&base).unwrap().verify().unwrap().lines();
    let begins = [
        "layout: ComfyUI",
        "kind: base",
        "transformer: ",
        "text encoder: ",
        "VAE: ",
        "tokenizer: ",
        "memory: ",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin) && !line.contains('\n'), "{line}");
    }
    // A kind that contradicts the schedule of a folder is said, and the schedule is used.
    let plain = plain();
    let set = ModelFiles { kind: Some(ModelKind::Base), ..ModelFiles::at(plain.path()) };
    let checkpoint = Checkpoint::open_files(&set).unwrap();
    assert_eq!(checkpoint.scheduler.shift, 3.0);
    let remarks = checkpoint.inventory().unwrap().remarks;
    assert_eq!(remarks, ["the schedule's shift is 3, where base has 6"]);
}

#[test]
fn older_folders_and_other_prefixes_are_known() {
    for (folders, prefixes) in [
        (
            ["unet", "clip", "vae"],
            ["model.diffusion_model.", "text_encoder.", "first_stage_model."],
        ),
        (["diffusion_models/z/image", "text_encoders/q", "vae/flux"], ["", "", "vae."]),
        (["checkpoints", "text_encoders", "vae"], ["diffusion_model.", "llm.", ""]),
    ] {
        let comfy = ComfyUi(tempfile::tempdir().unwrap());
        for i in 0..3 {
            // No name says what a file is.
            comfy.write(&format!("{}/file-{i}.bin", folders[i]), PREFIXES[i], prefixes[i]);
        }
        assert_same(&comfy.open().unwrap());
    }
    // Without `model.`, as an encoder is saved by itself.
    let comfy = ComfyUi::new();
    comfy.write("text_encoders/qwen_3_4b.safetensors", &format!("{}model.", PREFIXES[1]), "");
    assert_same(&comfy.open().unwrap());
}

#[test]
fn files_are_named_one_by_one() {
    let comfy = ComfyUi::new();
    let apart = tempfile::tempdir().unwrap();
    let [transformer, text_encoder, vae] = ["a", "b", "c"].map(|name| apart.path().join(name));
    for (from, to) in [
        ("diffusion_models/z_image_turbo_bf16.safetensors", &transformer),
        ("text_encoders/qwen_3_4b.safetensors", &text_encoder),
        ("vae/ae.safetensors", &vae),
    ] {
        let folder = to.parent().unwrap().join(from.split('/').next().unwrap());
        fs::create_dir(&folder).unwrap();
        fs::rename(comfy.file(from), folder.join("x")).unwrap();
        symlink(folder.join("x"), to).unwrap();
    }
    let files = ModelFiles {
        model: transformer,
        text_encoder: Some(text_encoder.clone()),
        vae: Some(vae.clone()),
        tokenizer: tokenizer(),
        kind: None,
    };
    let checkpoint = Checkpoint::open_files(&files).unwrap();
    // Nothing tells the kind, so it is assumed, and said.
    assert!(checkpoint.kind.because.starts_with("assumed"), "{}", checkpoint.kind);
    assert_same(&checkpoint);
    let base = ModelFiles { kind: Some(ModelKind::Base), ..files.clone() };
    assert_eq!(Checkpoint::open_files(&base).unwrap().scheduler.shift, 6.0);
    // Parts of a diffusers folder are replaced by files, and files completed by its folders.
    let plain = plain();
    let mixed = ModelFiles { model: plain.path().to_owned(), ..files.clone() };
    assert_same(&Checkpoint::open_files(&mixed).unwrap());
    let folders = ModelFiles {
        text_encoder: Some(plain.file("text_encoder")),
        vae: Some(plain.path().to_owned()),
        ..files.clone()
    };
    assert_same(&Checkpoint::open_files(&folders).unwrap());
    // A file in the wrong place.
    for wrong in [
        ModelFiles { text_encoder: Some(vae.clone()), ..files.clone() },
        ModelFiles { vae: Some(text_encoder), ..files.clone() },
        ModelFiles { model: vae, ..files },
    ] {
        let error = Checkpoint::open_files(&wrong).unwrap_err();
        assert!(
            matches!(error, Error::NotTheComponent { .. } | Error::NotTheTransformer { .. }),
            "{error}"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("--vae")));
    }
}

#[test]
fn gguf_files_are_the_same_model() {
    let comfy = ComfyUi::new();
    let files = ModelFiles {
        model: fixture(TRANSFORMER_GGUF),
        text_encoder: Some(fixture(TEXT_ENCODER_GGUF)),
        vae: Some(comfy.file("vae/ae.safetensors")),
        tokenizer: tokenizer(),
        kind: Some(ModelKind::Turbo),
    };
    assert_same(&Checkpoint::open_files(&files).unwrap());
    // A repository of GGUF files, and GGUF files in ComfyUI's folders.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture(TRANSFORMER_GGUF), folder.path().join("z_image_turbo-BF16.gguf")).unwrap();
    let loose = ModelFiles { model: folder.path().to_owned(), kind: None, ..files };
    assert_same(&Checkpoint::open_files(&loose).unwrap());
    fs::remove_file(comfy.file("diffusion_models/z_image_turbo_bf16.safetensors")).unwrap();
    fs::remove_file(comfy.file("text_encoders/qwen_3_4b.safetensors")).unwrap();
    fs::copy(fixture(TRANSFORMER_GGUF), comfy.file("diffusion_models/z_image_turbo")).unwrap();
    fs::copy(fixture(TEXT_ENCODER_GGUF), comfy.file("text_encoders/q.gguf")).unwrap();
    assert_same(&comfy.open().unwrap());
}

#[test]
fn a_repository_in_the_cache_is_a_model() {
    let cache = tempfile::tempdir().unwrap();
    let repository = cache.path().join("models--Comfy-Org--z_image_turbo");
    let files = repository.join("snapshots/0123abcd/split_files");
    fs::create_dir_all(files.parent().unwrap()).unwrap();
    let comfy = ComfyUi::new();
    symlink(comfy.path(), &files).unwrap();
    let checkpoint = open(&repository).unwrap();
    assert_same(&checkpoint);
    assert_eq!(open(files.parent().unwrap()).unwrap().name, checkpoint.name);
}

#[test]
fn several_are_told_apart_or_named() {
    let comfy = ComfyUi::new();
    // Other models beside it do not matter.
    fs::write(comfy.file("vae/notes.txt"), "not weights ".repeat(1000)).unwrap();
    let lora = safetensors::serialize(
        [(
            "a.lora_A.weight",
            TensorView::new(safetensors::Dtype::F32, vec![1024], &[0; 4096]).unwrap(),
        )],
        None,
    );
    fs::write(comfy.file("diffusion_models/lora.safetensors"), lora.unwrap()).unwrap();
    assert_same(&comfy.open().unwrap());
    // Two text encoders: the one with more bytes, whose norms are float32, and a remark.
    fs::copy(fixture(TEXT_ENCODER_GGUF), comfy.file("text_encoders/q.gguf")).unwrap();
    let inventory = comfy.open().unwrap().inventory().unwrap();
    let remark = inventory.remarks.iter().find(|line| line.contains("--text-encoder"));
    assert!(remark.is_some_and(|line| line.contains("q.gguf is taken")), "{inventory:?}");
    // Two transformers: one has to be named.
    fs::copy(fixture(TRANSFORMER_GGUF), comfy.file("diffusion_models/t.gguf")).unwrap();
    let error = comfy.open().unwrap_err();
    assert!(matches!(&error, Error::SeveralModels { files, .. } if files.len() == 2), "{error}");
    assert_same(&open(&comfy.file("diffusion_models/t.gguf")).map(turbo).unwrap());
}

/// The file's name tells no kind, and the schedule is that of Turbo.
fn turbo(checkpoint: Checkpoint) -> Checkpoint {
    assert_eq!(checkpoint.kind.kind, ModelKind::Turbo);
    checkpoint
}

#[test]
fn what_is_missing_is_said_with_the_remedy() {
    let comfy = ComfyUi::new();
    fs::remove_file(comfy.file("vae/ae.safetensors")).unwrap();
    let error = comfy.open().unwrap_err();
    assert!(matches!(error, Error::MissingComponent { component: Component::Vae, .. }), "{error}");
    fs::remove_file(comfy.file("diffusion_models/z_image_turbo_bf16.safetensors")).unwrap();
    let error = comfy.open().unwrap_err();
    assert!(matches!(error, Error::NoModel { .. }), "{error}");
    // The tokenizer that comes with the program is not that of a small model.
    let error = Checkpoint::open(&fixture(ALL_IN_ONE)).unwrap_err();
    assert!(matches!(error, Error::NoTokenizer { size: 488, .. }), "{error}");
    // A file beside the text encoder's is found.
    let beside = tempfile::tempdir().unwrap();
    let file = beside.path().join("x.safetensors");
    fs::copy(fixture(ALL_IN_ONE), &file).unwrap();
    let tokenizer = fixture("tests/fixtures/reference/plain/tokenizer/tokenizer.json");
    fs::copy(tokenizer, beside.path().join("tokenizer.json")).unwrap();
    assert_same(&Checkpoint::open(&file).unwrap());
    let error = open(Path::new("Owner/Absent")).unwrap_err();
    assert!(matches!(error, Error::NotInCache { .. }), "{error}");
}
