//! Arguments of a tool call: generation parameters from JSON, by their names in the table.

use std::path::Path;

use serde_json::{Map, Value as Json, json};
use zimg_client::params::{PARAMETERS, Parameter, Range, Surface, Value, ValueKind};
use zimg_client::{Failure, Params};
use zimg_image::ImageFormat;

use super::inputs;
use crate::image_inputs::ImageInputs;

/// The arguments of a call.
pub(super) type JsonObject = Map<String, Json>;

/// The most images of one call: an answer is one message.
const IMAGES_MAX: u32 = 8;

/// Formats of the images in an answer, with their media types.
pub(super) const FORMATS: [(&str, ImageFormat, &str); 3] = [
    ("jpeg", ImageFormat::Jpeg, "image/jpeg"),
    ("png", ImageFormat::Png, "image/png"),
    ("webp", ImageFormat::WebP, "image/webp"),
];

/// What `draw` was asked for.
#[derive(Clone, Debug)]
pub(super) struct DrawArguments {
    pub(super) params: Params,
    /// What the job starts from.
    pub(super) inputs: Option<ImageInputs>,
    pub(super) format: ImageFormat,
    pub(super) media_type: &'static str,
}

impl DrawArguments {
    /// Reads the arguments; the seed is `random_seed` where none is given, and `folder` the one where
    /// images are saved.
    ///
    /// # Errors
    ///
    /// `Refused` for the first argument that is unknown, of another type or out of range.
    pub(super) fn read(
        arguments: &JsonObject,
        random_seed: u64,
        folder: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut params = Params::default();
        let (_, mut format, mut media_type) = FORMATS[0];
        let given = arguments.iter().filter(|(_, json)| !json.is_null());
        for (name, json) in given.filter(|(name, _)| !inputs::NAMES.contains(&name.as_str())) {
            if name == "format" {
                let found = FORMATS.iter().find(|(word, ..)| json.as_str() == Some(word));
                let words = FORMATS.map(|(word, ..)| word).join(", ");
                let refused = || Failure::refused(format!("`format` is no format of {words}"));
                (_, format, media_type) = *found.ok_or_else(refused)?;
                continue;
            }
            let Some(row) = Parameter::named(name).filter(|row| has_argument(row)) else {
                let known = PARAMETERS.iter().filter(|row| has_argument(row)).map(|row| row.name);
                let known = known.collect::<Vec<_>>().join(", ");
                let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
                return Err(Failure::refused(format!("argument `{name}` is unknown"))
                    .hint(format!("there are {known}, image, mask and format")));
            };
            params.set(row.name, value(row, json)?)?;
        }
        if !arguments.contains_key("prompt") {
            return Err(Failure::refused("`prompt` is missing, expected text"));
        }
        params.seed.get_or_insert(random_seed);
        params.check()?;
        let images = params.images();
        if images > IMAGES_MAX {
            return Err(Failure::refused(format!(
                "`count` is {images}, expected at most {IMAGES_MAX} in one call"
            )));
        }
        let inputs = inputs::read(arguments, folder, &mut params)?;
        params.check()?;
        Ok(Self { params, inputs, format, media_type })
    }
}

/// The number of the job that `cancel` is asked for.
///
/// # Errors
///
/// `Refused`: it is missing or no number.
pub(super) fn job(arguments: &JsonObject) -> Result<u64, Failure> {
    let job = arguments.get("job").and_then(Json::as_u64);
    job.ok_or_else(|| Failure::refused("`job` is no number of a job, `status` lists them"))
}

fn value(row: &'static Parameter, json: &Json) -> Result<Value, Failure> {
    let value = match (row.kind(), json) {
        (ValueKind::Text, Json::String(text)) => {
            Some(Value::Text(zimg_text::normalized(text).into_owned()))
        }
        (ValueKind::Integer, json) => json.as_u64().or_else(|| whole(json)).map(Value::Integer),
        (ValueKind::Real, json) => json.as_f64().map(|number| Value::Real(number as f32)),
        (ValueKind::Flag, json) => json.as_bool().map(Value::Flag),
        (ValueKind::Text, _) => None,
    };
    value.ok_or_else(|| {
        let (name, expected) = (row.name, row.range.in_words());
        Failure::refused(format!("`{name}` is of another type, expected {expected}"))
    })
}

/// A whole number that is written as 8.0 or, as models do, as "8".
fn whole(json: &Json) -> Option<u64> {
    match json {
        Json::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        json => json
            .as_f64()
            .filter(|real| real.fract() == 0.0 && (0.0..=9e15).contains(real))
            .map(|real| real as u64),
    }
}

/// Whether the tool has the parameter.
fn has_argument(row: &Parameter) -> bool {
    row.surface != Surface::Recorded
}

/// The JSON schema of the arguments of `draw`, from the table.
pub(super) fn draw_schema() -> Json {
    let mut properties = Map::new();
    for row in PARAMETERS.iter().filter(|row| has_argument(row)) {
        let mut schema = match row.range {
            Range::Text { .. } | Range::Loras => json!({"type": "string"}),
            Range::Integer { min, max, multiple: 1 } => {
                json!({"type": "integer", "minimum": min, "maximum": max})
            }
            Range::Integer { min, max, multiple } => {
                json!({"type": "integer", "minimum": min, "maximum": max, "multipleOf": multiple})
            }
            Range::Real { min, max } => json!({"type": "number", "minimum": min, "maximum": max}),
            Range::Share => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
            Range::Factor { max } => json!({"type": "number", "minimum": 1, "maximum": max}),
            Range::Flag => json!({"type": "boolean"}),
        };
        if row.name == "count" {
            schema["maximum"] = IMAGES_MAX.into();
        }
        // The table's help of these is about the command line.
        schema["description"] = match row.name {
            "prompt" => "What the image shows".into(),
            "count" => "How many images".into(),
            "lora" => "LoRAs with their weights, as ink:0.8,pixel".into(),
            _ => row.help.into(),
        };
        properties.insert(row.name.to_owned(), schema);
    }
    let image = |what: &str| {
        let of =
            "base64 of an image file, or the name of a file in the folder where images are saved";
        json!({"type": "string", "description": format!("{what}: {of}")})
    };
    properties.insert("image".to_owned(), image("An image to start from"));
    let mask = "A mask for it, as large or of its shape, whose white parts may change";
    properties.insert("mask".to_owned(), image(mask));
    let words = FORMATS.map(|(word, ..)| word);
    let format = json!({
        "type": "string", "enum": words, "default": words[0],
        "description": "The format of the images in the answer",
    });
    properties.insert("format".to_owned(), format);
    json!({
        "type": "object", "properties": properties, "required": ["prompt"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: Json) -> Result<DrawArguments, Failure> {
        let Json::Object(arguments) = arguments else { panic!("no object") };
        DrawArguments::read(&arguments, 9, None)
    }

    #[test]
    fn arguments_are_the_tables_parameters() {
        let asked = read(json!({"prompt": "a\r\nfox", "width": 512.0, "steps": "4", "seed": null,
            "guidance": 2, "negative": "x", "count": 2, "format": "webp"}))
        .unwrap();
        let expected = Params {
            width: Some(512),
            steps: Some(4),
            seed: Some(9),
            guidance: Some(2.0),
            negative: Some("x".into()),
            count: Some(2),
            ..Params::new("a\nfox")
        };
        assert_eq!((asked.params, asked.media_type), (expected, "image/webp"));
        assert_eq!(read(json!({"prompt": ""})).unwrap().format, ImageFormat::Jpeg);
    }

    #[test]
    fn what_is_refused_is_named() {
        for (arguments, name) in [
            (json!({}), "prompt"),
            (json!({"prompt": 7}), "prompt"),
            (json!({"prompt": "a", "width": 100}), "width"),
            (json!({"prompt": "a", "steps": "four"}), "steps"),
            (json!({"prompt": "a", "steps": 1.5}), "steps"),
            (json!({"prompt": "a", "guidance": "x"}), "guidance"),
            (json!({"prompt": "a", "count": 9}), "count"),
            (json!({"prompt": "a", "format": "gif"}), "format"),
            (json!({"prompt": "a", "file": "/etc/x"}), "file"),
            (json!({"prompt": "a", "image_inputs": "{}"}), "image_inputs"),
            (json!({"prompt": "a", "image": "/etc/x.png"}), "image"),
            (json!({"prompt": "a", "image": "QUI="}), "image"),
            (json!({"prompt": "a", "mask": "QUI="}), "mask"),
            (json!({"prompt": "a", "strength": 0.5}), "strength"),
        ] {
            let failure = read(arguments).unwrap_err();
            assert!(failure.message.contains(&format!("`{name}`")), "{}", failure.message);
        }
    }

    #[test]
    fn the_schema_has_every_parameter_with_its_range() {
        let schema = draw_schema();
        for row in PARAMETERS.iter().filter(|row| has_argument(row)) {
            let property = &schema["properties"][row.name];
            assert!(property["type"].is_string() && property["description"].is_string());
        }
        assert_eq!(schema["properties"]["width"]["multipleOf"], 16);
        assert_eq!(schema["properties"]["steps"]["maximum"], 100);
        assert_eq!(schema["required"], json!(["prompt"]));
    }
}
