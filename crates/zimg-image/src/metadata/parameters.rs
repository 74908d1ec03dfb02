//! The A1111 parameters text: the prompt, a line for the negative prompt and a line of settings, as
//! AUTOMATIC1111's web UI writes them and other programs read them.

use zimage_params::{PARAMETERS, Parameter, Params, Value, ValueKind};

use super::generation::GenerationMetadata;

/// The program that is named where the metadata names none.
const PROGRAM: &str = concat!("zimg ", env!("CARGO_PKG_VERSION"));

const NEGATIVE: &str = "\nNegative prompt: ";
const SETTINGS: &str = "\nSteps: ";

impl GenerationMetadata {
    /// The parameters text that AUTOMATIC1111's web UI writes, for other programs and for people.
    pub fn to_parameters(&self) -> String {
        write(self)
    }
}

fn write(metadata: &GenerationMetadata) -> String {
    let params = &metadata.params;
    let negative = match params.negative.as_deref().unwrap_or_default() {
        "" => String::new(),
        text => format!("{NEGATIVE}{text}"),
    };
    let mut text = format!("{}{negative}\n", params.prompt);
    let mut setting = |label: &str, value: &str| {
        let separator = if text.ends_with('\n') { "" } else { ", " };
        text += &format!("{separator}{label}: {value}");
    };
    for (name, after) in [("steps", Some(("Sampler", "Euler"))), ("guidance", None), ("seed", None)]
    {
        if let (Some(row), Some(value)) = (Parameter::named(name), params.get(name))
            && let Some(label) = row.metadata.label()
        {
            setting(label, &value.to_string());
        }
        if let Some((label, value)) = after {
            setting(label, value);
        }
    }
    if let Some((width, height)) = params.width.zip(params.height) {
        setting("Size", &format!("{width}x{height}"));
    }
    for (row, value) in metadata.unusual() {
        if let Some(label) = row.metadata.label() {
            setting(label, &quoted(&value.to_string()));
        }
    }
    if let Some(model) = &metadata.model {
        setting("Model", &quoted(model));
    }
    setting("Version", &quoted(metadata.program.as_deref().unwrap_or(PROGRAM)));
    text
}

/// A value of the settings, in quotes where it would not be told from what follows.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '"', '\n']) {
        serde_json::to_string(value).unwrap_or_default()
    } else {
        value.to_owned()
    }
}

/// What can be generated again of such a text, be it ours or another program's.
pub(super) fn read(text: &str) -> Option<GenerationMetadata> {
    // A prompt may be empty; then the text begins with what is else on a line of its own.
    let text = format!("\n{text}");
    let (words, settings) = text.rsplit_once(SETTINGS)?;
    let (prompt, negative) = match words.split_once(NEGATIVE) {
        Some((prompt, negative)) => (prompt, Some(negative.trim().to_owned())),
        None => (words, None),
    };
    let settings = format!("Steps: {settings}");
    let value =
        |name: &str| settings_of(&settings).find(|(key, _)| *key == name).map(|pair| pair.1);
    let (width, height) =
        value("Size")?.split_once('x').map(|(w, h)| (w.to_owned(), h.to_owned()))?;
    let program = value("Version");
    let mut params = Params {
        negative,
        width: Some(width.parse().ok()?),
        height: Some(height.parse().ok()?),
        ..Params::new(prompt.strip_prefix('\n').unwrap_or(prompt))
    };
    for row in &PARAMETERS {
        if let Some(value) = row.metadata.label().and_then(value)
            && let Some(value) = parsed(row, value)
        {
            params.set(row.name, value).ok()?;
        }
    }
    let scale = params.guidance.filter(|scale| scale.is_finite()).unwrap_or(1.0);
    // Elsewhere the scale is 1 where there is no guidance, and 0 here.
    let ours = program.as_deref().is_some_and(|program| program.starts_with("zimg "));
    params.guidance = Some(if ours { scale } else { (scale - 1.0).max(0.0) });
    let model = value("Model");
    Some(GenerationMetadata { model, program, ..GenerationMetadata::of(params)? })
}

fn parsed(row: &Parameter, text: String) -> Option<Value> {
    match row.kind() {
        ValueKind::Text => Some(Value::Text(text)),
        ValueKind::Integer => text.parse().ok().map(Value::Integer),
        ValueKind::Real => text.parse().ok().map(Value::Real),
        ValueKind::Flag => text.parse().ok().map(Value::Flag),
    }
}

/// `name: value` pairs between commas; a value in quotes may have commas itself.
fn settings_of(line: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once(": ")?;
        let value;
        if after.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(after).into_iter::<String>();
            value = values.next()?.ok()?;
            rest = after.get(values.byte_offset()..)?;
            rest = rest.strip_prefix(", ").unwrap_or("");
        } else {
            let (text, more) = after.split_once(", ").unwrap_or((after, ""));
            (value, rest) = (text.trim_end().to_owned(), more);
        }
        Some((name.trim(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::super::generation::tests::metadata;
    use super::*;

    #[test]
    fn it_is_the_text_that_viewers_know() {
        let plain = GenerationMetadata {
            params: Params {
                prompt: "a fox".to_owned(),
                negative: None,
                guidance: Some(0.0),
                ..metadata().params
            },
            ..metadata()
        };
        assert_eq!(
            write(&plain),
            "a fox\nSteps: 8, Sampler: Euler, CFG scale: 0, Seed: 18446744073709551615, \
             Size: 1024x768, Model: Z-Image-Turbo, Version: zimg 0.1.0"
        );
        let full = write(&metadata());
        assert!(full.contains("\"❄\"\nNegative prompt: a dog\nSteps: 8, "), "{full}");
    }

    #[test]
    fn what_it_says_is_read_back() {
        let model = Some("odd, \"name\": x".to_owned());
        let params = Params { prompt: String::new(), ..metadata().params };
        for metadata in [metadata(), GenerationMetadata { params, model, ..metadata() }] {
            let read = read(&write(&metadata)).unwrap();
            let said = GenerationMetadata {
                params: Params {
                    guidance_normalization: None,
                    guidance_truncation: None,
                    ..metadata.params
                },
                dtype: None,
                device: None,
                ..metadata
            };
            assert_eq!(read, said);
        }
    }

    #[test]
    fn other_programs_images_are_read() {
        let read = read(
            "a castle\nNegative prompt: blurry\nSteps: 9, Sampler: euler, CFG scale: 3.5, Seed: 42, \
             Size: 512x768, Model hash: 00ff, Lora hashes: \"a: 1, b: 2\", Model: z_image_turbo",
        )
        .unwrap();
        let params = &read.params;
        assert_eq!(
            (params.prompt.as_str(), params.negative.as_deref()),
            ("a castle", Some("blurry"))
        );
        assert_eq!((params.steps, params.seed, params.guidance), (Some(9), Some(42), Some(2.5)));
        assert_eq!((params.width, params.height), (Some(512), Some(768)));
        assert_eq!(read.model.as_deref(), Some("z_image_turbo"));
    }

    #[test]
    fn what_cannot_be_generated_again_is_not_read() {
        for text in ["", "a fox", "a fox\nSteps: 8", "\nSteps: x, Seed: 1, Size: 64x64"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
