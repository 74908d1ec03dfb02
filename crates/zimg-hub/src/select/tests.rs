//! Tests of the choice, with the file names of real repositories.

use super::*;
use crate::digest::ContentHash;
use crate::names::Commit;

fn listing(names: &[&str]) -> Listing {
    let content = |name: &str| {
        let is_weights =
            [".safetensors", ".gguf", ".bin"].iter().any(|suffix| name.ends_with(suffix));
        let (length, bytes) = if is_weights { (64, 4_500_000_000) } else { (40, 700) };
        Some((bytes, ContentHash::parse(&"a".repeat(length)).unwrap()))
    };
    let file =
        |name: &&str| RemoteFile { path: FilePath::parse(name).unwrap(), content: content(name) };
    Listing {
        commit: Commit::parse(&"c".repeat(40)).unwrap(),
        files: names.iter().map(file).collect(),
    }
}

fn chosen(asked: &str, names: &[&str]) -> Result<(Vec<String>, Parts)> {
    let choice = choose(&asked.parse().unwrap(), &listing(names))?;
    let mut files: Vec<_> = choice.files.iter().map(|file| file.path.to_string()).collect();
    files.sort();
    Ok((files, choice.parts))
}

/// The official repository, and what else lies in such ones.
const TURBO: &[&str] = &[
    ".gitattributes",
    "README.md",
    "assets/showcase.jpg",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/generation_config.json",
    "text_encoder/model-00001-of-00003.safetensors",
    "text_encoder/model-00002-of-00003.safetensors",
    "text_encoder/model-00003-of-00003.safetensors",
    "text_encoder/model.safetensors.index.json",
    "text_encoder/pytorch_model.bin",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model-00001-of-00003.safetensors",
    "transformer/diffusion_pytorch_model-00002-of-00003.safetensors",
    "transformer/diffusion_pytorch_model-00003-of-00003.safetensors",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

const COMFY: &[&str] = &[
    "README.md",
    "split_files/diffusion_models/z_image_turbo_bf16.safetensors",
    "split_files/diffusion_models/z_image_turbo_int8_convrot.safetensors",
    "split_files/diffusion_models/z_image_turbo_nvfp4.safetensors",
    "split_files/loras/z_image_turbo_distill_patch_lora_bf16.safetensors",
    "split_files/model_patches/z_image_turbo_fun_controlnet_union.safetensors",
    "split_files/text_encoders/qwen_3_4b.safetensors",
    "split_files/text_encoders/qwen_3_4b_fp4_mixed.safetensors",
    "split_files/text_encoders/qwen_3_4b_fp8_mixed.safetensors",
    "split_files/vae/ae.safetensors",
];

const GGUF: &[&str] = &[
    "README.md",
    "z_image_turbo-Q2_K.gguf",
    "z_image_turbo-Q4_0.gguf",
    "z_image_turbo-Q4_K.gguf",
    "z_image_turbo-Q8_0.gguf",
];

#[test]
fn a_diffusers_folder_is_what_the_model_needs() {
    let (files, parts) = chosen("a/b", TURBO).unwrap();
    let not =
        [".gitattributes", "README.md", "assets/showcase.jpg", "text_encoder/pytorch_model.bin"];
    let expected: Vec<_> = TURBO.iter().filter(|name| !not.contains(name)).collect();
    assert_eq!(files.iter().collect::<Vec<_>>(), expected);
    assert_eq!(parts, Parts::Folder);
}

#[test]
fn a_variant_of_a_diffusers_folder_replaces_the_files_that_it_has() {
    let with = |more: &[&'static str]| [TURBO, more].concat();
    let single = "transformer/diffusion_pytorch_model.fp16.safetensors";
    let (files, _) = chosen("a/b:fp16", &with(&[single])).unwrap();
    let has = |name: &str| files.iter().any(|file| file == name);
    assert!(has(single) && !has(TURBO[17]) && !has(TURBO[20]) && has(TURBO[7]), "{files:?}");
    let shards = [
        "transformer/diffusion_pytorch_model.safetensors.index.fp16.json",
        "transformer/diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.fp16.safetensors",
    ];
    let (files, _) = chosen("a/b:fp16", &with(&shards)).unwrap();
    assert!(shards.iter().all(|name| files.iter().any(|file| file == name)), "{files:?}");
    assert!(!files.iter().any(|file| file == TURBO[17]), "{files:?}");
    // Without the variant its files are not taken.
    let (files, _) = chosen("a/b", &with(&shards)).unwrap();
    assert!(!files.iter().any(|file| file.contains("fp16")), "{files:?}");
}

#[test]
fn a_diffusers_folder_without_a_component_is_refused() {
    let without: Vec<_> = TURBO.iter().copied().filter(|name| !name.starts_with("vae/d")).collect();
    let said = chosen("a/b", &without).unwrap_err().to_string();
    assert_eq!(said, "a/b is not complete: it has no vae/diffusion_pytorch_model.safetensors");
}

#[test]
fn comfyui_variants_come_with_an_encoder_of_their_kind_and_the_vae() {
    for (variant, encoder) in
        [("bf16", ""), ("int8_convrot", "_fp8_mixed"), ("nvfp4", "_fp4_mixed")]
    {
        let (files, parts) = chosen(&format!("Comfy-Org/z_image_turbo:{variant}"), COMFY).unwrap();
        let transformer =
            format!("split_files/diffusion_models/z_image_turbo_{variant}.safetensors");
        let encoder = format!("split_files/text_encoders/qwen_3_4b{encoder}.safetensors");
        let vae = "split_files/vae/ae.safetensors".to_owned();
        assert_eq!(files, [transformer.clone(), encoder.clone(), vae.clone()]);
        let path = |text: &str| FilePath::parse(text).unwrap();
        let expected = Parts::Files {
            transformer: path(&transformer),
            text_encoder: Some(path(&encoder)),
            vae: Some(path(&vae)),
            missing: None,
        };
        assert_eq!(parts, expected);
    }
}

#[test]
fn variants_are_listed_where_none_or_an_unknown_one_is_named() {
    let said = |asked: &str, names: &[&str]| chosen(asked, names).unwrap_err().to_string();
    assert_eq!(
        said("a/b", COMFY),
        "a/b has several variants, name one: bf16 (4.5 GB), int8_convrot (4.5 GB), nvfp4 (4.5 GB)"
    );
    assert_eq!(
        said("a/b:Q5_K", GGUF),
        "a/b has no variant `Q5_K`: there are Q2_K (4.5 GB), Q4_0 (4.5 GB), Q4_K (4.5 GB), Q8_0 \
         (4.5 GB)"
    );
    assert!(said("a/b", &["README.md", "model.bin"]).starts_with("a/b has no checkpoint: "));
    // A LoRA alone is no model.
    assert!(said("a/b", &["my_lora.safetensors"]).starts_with("a/b has no checkpoint: "));
}

#[test]
fn a_quantisation_is_named_in_any_case() {
    for (asked, names, file) in [
        ("q4_k", GGUF, "z_image_turbo-Q4_K.gguf"),
        ("Q8_0", GGUF, "z_image_turbo-Q8_0.gguf"),
        ("z_image_turbo-Q4_0", GGUF, "z_image_turbo-Q4_0.gguf"),
        ("z_image_turbo-Q4_0.gguf", GGUF, "z_image_turbo-Q4_0.gguf"),
        ("Q4_K", &["z-Q4_K_S.gguf", "z-Q4_K_M.gguf"], "z-Q4_K_M.gguf"),
        ("K_M", &["z-Q4_K_S.gguf", "z-Q4_K_M.gguf"], "z-Q4_K_M.gguf"),
    ] {
        let (files, parts) = chosen(&format!("a/b:{asked}"), names).unwrap();
        assert_eq!(files, [file], "{asked}");
        let Parts::Files { missing: Some(missing), .. } = parts else { panic!("{parts:?}") };
        assert_eq!(missing.repository, COMPANION);
    }
    assert!(chosen("a/b:_K", GGUF).is_err());
}

#[test]
fn what_a_repository_lacks_comes_from_another_as_exact() {
    for (name, encoder) in [
        ("z-Q4_K.gguf", "qwen_3_4b_fp4_mixed"),
        ("z-IQ4_XS.gguf", "qwen_3_4b_fp4_mixed"),
        ("z-Q8_0.gguf", "qwen_3_4b_fp8_mixed"),
        ("z_fp8_e4m3fn.safetensors", "qwen_3_4b_fp8_mixed"),
        ("z-BF16.gguf", "qwen_3_4b"),
    ] {
        let Parts::Files { missing: Some(missing), .. } = chosen("a/b", &[name]).unwrap().1 else {
            panic!("{name}")
        };
        let [found, vae] = missing.choose(&listing(COMFY)).unwrap();
        assert_eq!(found.path.name(), format!("{encoder}.safetensors"), "{name}");
        assert_eq!(vae.path.name(), "ae.safetensors");
        assert!(missing.choose(&listing(GGUF)).is_err());
    }
}

#[test]
fn gguf_files_beside_a_folder_are_variants() {
    let names = [TURBO, &["z-image-Q4_K_M.gguf", "z-image-BF16.gguf"]].concat();
    assert_eq!(chosen("a/b", &names).unwrap().1, Parts::Folder);
    assert_eq!(chosen("a/b:Q4_K", &names).unwrap().0[0], "vae/diffusion_pytorch_model.safetensors");
}

#[test]
fn a_lora_is_one_file_and_the_configuration_beside_it() {
    let found = |asked: &str, names: &[&str]| {
        let files = choose_lora(&asked.parse().unwrap(), &listing(names))?;
        Ok::<_, Error>(files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>())
    };
    let one = ["README.md", "pytorch_lora_weights.safetensors"];
    assert_eq!(found("a/b", &one).unwrap(), ["pytorch_lora_weights.safetensors"]);
    let peft = ["x/adapter_config.json", "adapter_model.safetensors", "adapter_config.json"];
    assert_eq!(found("a/b", &peft).unwrap(), ["adapter_model.safetensors", "adapter_config.json"]);
    // Names as alibaba-pai's distilled adapters have them.
    let steps = ["Distill-8-Steps.safetensors", "Distill-4-Steps.safetensors"];
    assert!(matches!(found("a/b", &steps), Err(Error::SeveralVariants { .. })));
    let four = found("a/b:Distill-4-Steps", &steps).unwrap();
    assert_eq!(four, ["Distill-4-Steps.safetensors"]);
    assert_eq!(found("a/b:Distill-4-Steps.safetensors", &steps).unwrap(), four);
    assert!(matches!(found("a/b:two", &steps), Err(Error::NoVariant { .. })));
    let comfy = ["split_files/loras/ink.safetensors", "split_files/vae/ae.safetensors"];
    assert_eq!(found("a/b", &comfy).unwrap(), ["split_files/loras/ink.safetensors"]);
    assert!(matches!(found("a/b", TURBO), Err(Error::NoLora { .. })));
    assert!(matches!(found("a/b", &["lora.pt"]), Err(Error::NoLora { .. })));
}
