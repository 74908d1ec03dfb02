//! Images that other programs wrote or saved again (`tests/fixtures/metadata`), and zimg's own text
//! as other programs read it.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use regex::Regex;
use serde_json::Value;
use zimage_params::Params;
use zimg_image::{EmbeddedMetadata, GenerationMetadata, MetadataWriter, UnreadMetadata};

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/metadata")).join(name)
}

/// The files of a folder with what they say.
fn files(name: &str) -> BTreeMap<String, EmbeddedMetadata> {
    let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (name(&path), EmbeddedMetadata::read(&path).unwrap())).collect()
}

/// What `contrib/lab/metadata/resave.py` saves again.
fn own() -> GenerationMetadata {
    GenerationMetadata {
        params: Params {
            negative: Some("a dog".to_owned()),
            width: Some(64),
            height: Some(64),
            steps: Some(8),
            seed: Some(u64::MAX),
            guidance: Some(4.0),
            guidance_truncation: Some(0.75),
            ..Params::new("a red fox,\nin the \"snow\" ❄ café")
        },
        model: Some("Z-Image-Turbo".to_owned()),
        dtype: Some("bfloat16".to_owned()),
        device: Some("cpu".to_owned()),
        program: Some("zimg 0.1.0".to_owned()),
    }
}

/// Tools that leave out the metadata, as docs/cli.md lists them: those that are not told to keep it,
/// and those that have no place for PNG's texts in another format.
const DROPPED: [&str; 10] = [
    "cwebp-default.webp",
    "cwebp-of-png.webp",
    "graphicsmagick-of-png.jpg",
    "imagemagick-of-png.jpg",
    "jpegtran-none.jpg",
    "libvips-of-png.jpg",
    "optipng-strip.png",
    "pillow.jpg",
    "pillow.png",
    "pillow.webp",
];

#[test]
fn metadata_survives_the_tools_that_keep_it() {
    let files = files("tools");
    assert!(files.len() > 50, "{}", files.len());
    for (name, found) in files {
        if DROPPED.contains(&&*name) {
            assert_eq!(found, EmbeddedMetadata::default(), "{name}");
            continue;
        }
        let expected = if name.starts_with("piexif-text") {
            // The text alone was kept.
            let params = Params { guidance_truncation: None, ..own().params };
            GenerationMetadata { params, dtype: None, device: None, ..own() }
        } else {
            own()
        };
        assert_eq!(found.generation, Some(expected), "{name}");
        assert_eq!(found.writer, Some(MetadataWriter::Zimg), "{name}");
    }
}

/// The writer of a file of `contrib/lab/metadata/programs.py`, by its name.
fn writer(name: &str) -> MetadataWriter {
    let writers = [
        ("a1111", MetadataWriter::A1111),
        ("comfyui", MetadataWriter::ComfyUi),
        ("draw-things", MetadataWriter::DrawThings),
        ("easy-diffusion", MetadataWriter::EasyDiffusion),
        ("fooocus", MetadataWriter::Fooocus),
        ("invokeai", MetadataWriter::InvokeAi),
        ("mflux", MetadataWriter::Mflux),
        ("novelai", MetadataWriter::NovelAi),
        ("ruined-fooocus", MetadataWriter::RuinedFooocus),
        ("sdcpp", MetadataWriter::StableDiffusionCpp),
        ("swarmui", MetadataWriter::SwarmUi),
        ("zimg", MetadataWriter::Zimg),
    ];
    writers.into_iter().find(|(start, _)| name.starts_with(start)).unwrap().1
}

#[test]
fn other_programs_are_read_in_their_units() {
    let unread = BTreeMap::from([
        ("comfyui-from-image.png", UnreadMetadata::FromImage),
        ("comfyui-two-samplers.png", UnreadMetadata::Samplers(2)),
        ("comfyui-workflow.png", UnreadMetadata::Format),
        ("invokeai-graph.png", UnreadMetadata::Format),
        ("mflux-from-image.png", UnreadMetadata::FromImage),
    ]);
    let files = files("programs");
    assert!(files.len() > 50, "{}", files.len());
    for (name, found) in files {
        assert_eq!(found.writer, Some(writer(&name)), "{name}");
        assert!(!found.parameters.unwrap().is_empty(), "{name}");
        if let Some(unread) = unread.get(&*name) {
            assert_eq!((found.generation, found.unread), (None, Some(*unread)), "{name}");
            continue;
        }
        let prompt = match &*name {
            // Latin-1 alone; Pillow's ASCII field.
            "a1111-ztxt.png" => "a castle, sunset test",
            "fooocus-a1111.jpg" | "fooocus-a1111.webp" => "a castle, sunset ???",
            _ => "a castle, sunset テスト",
        };
        let noted = name.starts_with("zimg-0.1.");
        let expected = Params {
            negative: Some("blurry, \"low\"".to_owned()),
            width: Some(512),
            height: Some(768),
            steps: Some(9),
            seed: Some((1 << 33) + 7),
            // CFG scale 7, and guidance 6 of zimg 0.1.
            guidance: Some(6.0),
            guidance_normalization: noted.then_some(0.5),
            ..Params::new(prompt)
        };
        assert_eq!(found.generation.unwrap().params, expected, "{name}");
    }
}

#[test]
fn images_by_version_0_1_are_told_to_others_in_their_unit() {
    for name in ["zimg-0.1.png", "zimg-0.1.jpg", "zimg-0.1.webp"] {
        let found = EmbeddedMetadata::read(&folder("programs").join(name)).unwrap();
        let text = found.parameters.unwrap();
        assert!(text.contains("CFG scale: 7, ") && text.contains("zimg guidance: 6, "), "{text}");
    }
}

/// Images that users of other programs had and version 0.1 misread.
#[test]
fn images_from_the_field_are_read() {
    for (name, found) in files("field") {
        let Some(metadata) = found.generation else {
            assert_eq!(name, "comfyui-prompt.png", "its graph has no prompt");
            assert_eq!(found.writer, Some(MetadataWriter::ComfyUi));
            assert_eq!(found.unread, Some(UnreadMetadata::Lacks("prompt")));
            continue;
        };
        let params = metadata.params;
        let prompt = match &*name {
            "zimg-text-after-idat.png" => "a red circle",
            "utf8-in-tEXt.png" => "a テスト, sunset",
            _ => params.prompt.strip_suffix(", sunset").unwrap_or(&params.prompt),
        };
        assert_eq!(prompt, if prompt.contains("castle") { "a castle" } else { prompt }, "{name}");
        let guidance = if name == "a1111-cfg7.png" { 6.0 } else { 0.0 };
        assert_eq!(params.guidance, Some(guidance), "{name}");
        assert_eq!(params.seed, Some(if name.starts_with("zimg") { 1 } else { 42 }), "{name}");
        let program = metadata.program.unwrap_or_default();
        assert!(!program.contains('\n'), "{name}: {program}");
    }
}

/// What AUTOMATIC1111's web UI reads in a text (`parse_generation_parameters` in its
/// `modules/infotext_utils.py`): prompt, negative prompt, and the settings by name.
fn as_a1111_reads(text: &str) -> (String, String, BTreeMap<String, String>) {
    let pair = r#"\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)"#;
    let pair = Regex::new(pair).unwrap();
    let (words, last) = text.trim().rsplit_once('\n').unwrap_or(("", text.trim()));
    assert!(pair.find_iter(last).count() >= 3, "{last}");
    let mut prompts = [Vec::new(), Vec::new()];
    let mut negative = 0;
    for line in words.split('\n').map(str::trim) {
        let after = line.strip_prefix("Negative prompt:").map(str::trim);
        negative = if after.is_some() { 1 } else { negative };
        prompts[negative].push(after.unwrap_or(line));
    }
    let settings = pair.captures_iter(last).map(|found| {
        let value = &found[2];
        let unquoted = value.starts_with('"').then(|| serde_json::from_str(value).unwrap());
        (found[1].to_owned(), unquoted.unwrap_or_else(|| value.to_owned()))
    });
    (prompts[0].join("\n"), prompts[1].join("\n"), settings.collect())
}

/// Guidance in zimg's unit, and the CFG scale of others.
const UNITS: [(f32, &str); 6] =
    [(0.0, "1"), (0.1, "1.1"), (0.5, "1.5"), (1.0, "2"), (4.0, "5"), (6.5, "7.5")];

#[test]
fn others_read_the_cfg_scale_in_their_unit() {
    for (guidance, cfg) in UNITS {
        let params = Params { guidance: Some(guidance), ..own().params };
        let written = GenerationMetadata { params, ..own() }.to_parameters();
        let (prompt, negative, settings) = as_a1111_reads(&written);
        assert_eq!(prompt, own().params.prompt);
        assert_eq!(negative, "a dog");
        for (name, value) in [
            ("Steps", "8"),
            ("Sampler", "Euler"),
            ("CFG scale", cfg),
            ("Seed", "18446744073709551615"),
            ("Size", "64x64"),
            ("Model", "Z-Image-Turbo"),
            ("Version", "zimg 0.1.0"),
        ] {
            assert_eq!(settings.get(name).map(String::as_str), Some(value), "{guidance}");
        }
    }
}

/// The verdict of sd-parsers, which was given images by zimg.
#[test]
fn a_witness_reads_the_cfg_scale_in_its_unit() {
    let witness = fs::read_to_string(folder("witness.json")).unwrap();
    let rows: BTreeMap<String, Value> = serde_json::from_str(&witness).unwrap();
    assert_eq!(rows.len(), 5);
    for (guidance, row) in rows {
        let guidance: f32 = guidance.parse().unwrap();
        let cfg = UNITS.iter().find(|(ours, _)| *ours == guidance).unwrap().1;
        assert_eq!(row["parameters"]["cfg_scale"], cfg);
        assert_eq!(row["parameters"]["seed"], "18446744073709551615");
        assert_eq!(row["prompt"], "a red fox, in the snow");
        assert_eq!((&row["negative"], &row["sampler"]), (&"a dog".into(), &"Euler".into()));
        // The text that it was given is the text that is written now.
        let params = Params { guidance: Some(guidance), ..own().params };
        let params = Params { prompt: "a red fox, in the snow".to_owned(), ..params };
        let (_, _, settings) =
            as_a1111_reads(&GenerationMetadata { params, ..own() }.to_parameters());
        assert_eq!(row["metadata"]["zimg guidance"], settings["zimg guidance"]);
        assert_eq!(row["metadata"]["Size"], settings["Size"]);
    }
}

proptest! {
    /// A model's name with any sign in it does not hide the settings from the web UI.
    #[test]
    fn the_text_is_read_by_others_whatever_the_model_is_called(model in "[ -~]{1,24}") {
        let written = GenerationMetadata { model: Some(model.clone()), ..own() }.to_parameters();
        let (_, _, settings) = as_a1111_reads(&written);
        prop_assert_eq!(&settings["CFG scale"], "5");
        prop_assert_eq!(&settings["Version"], "zimg 0.1.0");
        prop_assert_eq!(settings["Model"].trim(), model.trim());
    }
}
