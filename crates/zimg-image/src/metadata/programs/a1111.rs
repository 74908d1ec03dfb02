//! The parameters text of AUTOMATIC1111's web UI, as that program and many others write it: the
//! prompt, a line for the negative prompt, and the settings
//! (`parse_generation_parameters` in its `modules/infotext_utils.py`).

use zimage_params::{DefaultRule, PARAMETERS, Value, ValueKind};

use super::json;
use super::settings::{Settings, real, size};
use super::{ForeignParams, MetadataWriter, Reading, UnreadMetadata};
use crate::metadata::containers::{FileTexts, field};
use crate::metadata::generation::GenerationMetadata;
use crate::metadata::keywords::{GUIDANCE_LABEL, PARAMETERS_KEYWORD, ZIMG_OF_OLD_UNIT};

const NEGATIVE: &str = "Negative prompt:";
/// Names of which the settings have at least two.
const KNOWN: [&str; 7] = ["Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash"];
/// Names without which the settings are continued on the line before.
const NEEDED: [&str; 3] = ["Steps", "Seed", "Size"];
/// How many pairs make a line of settings, as in the web UI.
const PAIRS_MIN: usize = 3;

/// Where programs put the text.
const PLACES: [&str; 8] = [
    PARAMETERS_KEYWORD,
    field::USER_COMMENT,
    field::XMP_PARAMETERS,
    field::IMAGE_DESCRIPTION,
    field::XP_COMMENT,
    field::DESCRIPTION,
    field::COMMENT,
    "Comment",
];

/// The text in any of its places.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let readings = || {
        let all = PLACES.iter().flat_map(|place| texts.with(place).rev());
        all.filter_map(|text| parse(text, texts.size()))
    };
    readings().find(|reading| reading.metadata.is_ok()).or_else(|| readings().next())
}

/// A text under the web UI's keyword that nothing understands.
pub(super) fn read_unknown(texts: &FileTexts) -> Option<Reading> {
    let text = texts.get(PARAMETERS_KEYWORD).filter(|text| !text.trim().is_empty())?;
    Some(Reading {
        writer: MetadataWriter::A1111,
        text: text.to_owned(),
        metadata: Err(match json::object(text) {
            Some(_) => UnreadMetadata::Format,
            None => UnreadMetadata::Malformed,
        }),
    })
}

/// What a text in a file of this size says; none if it has no settings.
pub(super) fn parse(text: &str, size: Option<(u32, u32)>) -> Option<Reading> {
    let lines: Vec<&str> = text.trim_end().split('\n').collect();
    let (first, settings) = find_settings(&lines)?;
    let (prompt, negative) = prompts(&lines[..first]);
    let version = settings.get("Version").unwrap_or_default();
    let writer = match version {
        "stable-diffusion.cpp" => MetadataWriter::StableDiffusionCpp,
        _ if version.starts_with("zimg ") => MetadataWriter::Zimg,
        _ if version.starts_with("Fooocus") => MetadataWriter::Fooocus,
        _ => MetadataWriter::A1111,
    };
    let mut params = ForeignParams { prompt: Some(prompt), negative, ..of_settings(&settings) };
    match writer {
        MetadataWriter::StableDiffusionCpp => sdcpp(&settings, &mut params),
        // Its prompt has the words of styles; what was typed is beside it.
        MetadataWriter::Fooocus => {
            let typed = |name| settings.get(name).map(str::to_owned);
            params.prompt = typed("Raw prompt").or(params.prompt);
            params.negative = typed("Raw negative prompt").or(params.negative);
        }
        _ => {}
    }
    let metadata = params.metadata(size).map(|metadata| with_labels(metadata, &settings, writer));
    Some(Reading { writer, text: text.to_owned(), metadata })
}

/// The settings, and the number of their first line: the last line that has some. Lines after it,
/// such as `Template:`, are of the web UI's extensions.
fn find_settings(lines: &[&str]) -> Option<(usize, Settings)> {
    let of = |line: &str| {
        let settings = Settings::of(line);
        let known = KNOWN.iter().filter(|name| settings.get(name).is_some()).count();
        (settings.len() >= PAIRS_MIN && known >= 2).then_some(settings)
    };
    let (mut first, mut settings) =
        lines.iter().enumerate().rev().find_map(|(at, line)| Some((at, of(line)?)))?;
    while NEEDED.iter().any(|name| settings.get(name).is_none())
        && let Some(earlier) = first.checked_sub(1).and_then(|at| of(lines[at]))
    {
        settings = settings.after(earlier);
        first -= 1;
    }
    Some((first, settings))
}

/// The prompt and the negative prompt from the lines before the settings.
fn prompts(lines: &[&str]) -> (String, Option<String>) {
    let Some(at) = lines.iter().position(|line| line.trim_start().starts_with(NEGATIVE)) else {
        return (lines.join("\n"), None);
    };
    let negative = lines[at..].join("\n");
    let negative = negative.trim_start().strip_prefix(NEGATIVE).unwrap_or_default().trim();
    (lines[..at].join("\n"), Some(negative.to_owned()))
}

fn of_settings(settings: &Settings) -> ForeignParams {
    let text = |name: &str| settings.get(name).map(str::to_owned);
    let number =
        |name: &str| settings.get(name).and_then(|text| json::whole(&text.replace(',', ".")));
    let size = settings.get("Size").and_then(size);
    let cfg = settings.get("CFG scale").or_else(|| settings.get("Guidance scale"));
    ForeignParams {
        width: size.map(|size| size.0),
        height: size.map(|size| size.1),
        steps: number("Steps").and_then(|steps| steps.try_into().ok()),
        seed: number("Seed"),
        cfg: cfg.and_then(real),
        model: text("Model").filter(|model| !model.is_empty()),
        program: text("Version"),
        ..ForeignParams::default()
    }
}

/// Replaces what stable-diffusion.cpp has in JSON too, where commas do no harm
/// (`build_sdcpp_image_metadata_json` in its `examples/common/common.cpp`).
fn sdcpp(settings: &Settings, params: &mut ForeignParams) {
    if params.model.is_none() {
        params.model = settings.get("Unet").map(str::to_owned);
    }
    let Some(root) = settings.get("SDCPP").and_then(json::object) else { return };
    let inner = |object: &json::Object, key| object.get(key).and_then(|v| v.as_object()).cloned();
    if let Some(prompt) = inner(&root, "prompt") {
        params.prompt = json::text(&prompt, "positive").or(params.prompt.take());
        params.negative = json::text(&prompt, "negative").or(params.negative.take());
    }
    params.width = json::small(&root, "width").or(params.width);
    params.height = json::small(&root, "height").or(params.height);
    params.seed = json::seed(&root, "seed").or(params.seed);
    if let Some(sampling) = inner(&root, "sampling") {
        params.steps = json::small(&sampling, "steps").or(params.steps);
        let cfg = inner(&sampling, "guidance").and_then(|g| json::real(&g, "txt_cfg"));
        params.cfg = cfg.or(params.cfg);
    }
}

/// The parameters that zimg alone has, and its guidance.
fn with_labels(
    mut metadata: GenerationMetadata,
    settings: &Settings,
    writer: MetadataWriter,
) -> GenerationMetadata {
    for row in &PARAMETERS {
        let constant = !matches!(row.default, DefaultRule::Required | DefaultRule::Model);
        // Of another program it may be that of upscaling (hires fix), where no image is given.
        let of_input = row.metadata.is_only_if_given() && writer == MetadataWriter::Zimg;
        if let Some(text) =
            row.metadata.label().filter(|_| constant || of_input).and_then(|l| settings.get(l))
            && row.name != "seed"
            && let Some(value) = parsed(row.kind(), text)
            && row.check(&value).is_ok()
        {
            // The row's own name and type: it cannot fail.
            let _ = metadata.params.set(row.name, value);
        }
    }
    if writer == MetadataWriter::Zimg {
        let guidance = settings.get(GUIDANCE_LABEL).or_else(|| {
            // Version 0.1 wrote guidance where other programs have CFG scale.
            let old = settings.get("Version")?.starts_with(ZIMG_OF_OLD_UNIT);
            settings.get("CFG scale").filter(|_| old)
        });
        metadata.params.guidance = guidance.and_then(real).or(metadata.params.guidance);
    }
    metadata
}

fn parsed(kind: ValueKind, text: &str) -> Option<Value> {
    match kind {
        ValueKind::Text => Some(Value::Text(text.to_owned())),
        ValueKind::Integer => text.parse().ok().map(Value::Integer),
        ValueKind::Real => real(text).map(Value::Real),
        ValueKind::Flag => text.parse().ok().map(Value::Flag),
    }
}
