//! The generation metadata of one image: enough to generate it again.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zimage_params::{DefaultRule, PARAMETERS, Parameter, Params, Surface, Value, ValueKind};
use zimg_protocol::messages::{ImageInfo, Started};

/// How an image was made. As JSON it is one object: the parameters by name, then the other fields.
/// Fields are added, never changed; readers ignore fields that they do not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationMetadata {
    /// The parameters, with the values that the model's defaults had; `seed` is this image's.
    pub params: Params,
    /// The model's name.
    pub model: Option<String>,
    /// The data type of the computation, such as "bfloat16".
    pub dtype: Option<String>,
    /// The device of the computation.
    pub device: Option<String>,
    /// The program that requested the image, and its version.
    pub program: Option<String>,
}

/// Parameters without which an image cannot be generated again.
const REQUIRED: [&str; 5] = ["prompt", "width", "height", "steps", "seed"];

impl GenerationMetadata {
    /// The metadata of one image of a job: the request, what its defaults became, and the image.
    /// `program` is the one that has asked for it, with its version.
    pub fn of_image(params: &Params, started: &Started, image: &ImageInfo, program: &str) -> Self {
        let model = &started.model;
        // Empty in jobs that zimg 0.1 stored.
        let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            params: Params {
                width: Some(image.width),
                height: Some(image.height),
                steps: Some(started.steps),
                guidance: Some(started.guidance),
                seed: Some(image.seed),
                ..params.clone()
            },
            model: Some(model.name.clone()),
            dtype: known(&model.dtype),
            device: known(&model.device),
            program: Some(program.to_owned()),
        }
    }

    /// The recorded parameters that have a constant default and differ from it.
    pub fn unusual(&self) -> impl Iterator<Item = (&'static Parameter, Value)> {
        self.params.given().filter(|(row, value)| {
            row.metadata.is_optional() && row.default.value().as_ref() != Some(value)
        })
    }

    /// The metadata from parameters by name; none if a required one is missing. What is left out
    /// at its default in requests is left out here too.
    pub(super) fn of(mut params: Params) -> Option<Self> {
        if REQUIRED.iter().any(|name| params.get(name).is_none()) {
            return None;
        }
        params.guidance.get_or_insert(0.0);
        for row in &PARAMETERS {
            if row.metadata.is_optional() && params.get(row.name) == row.default.value() {
                // The row's own name: it cannot fail.
                let _ = params.clear(row.name);
            }
        }
        Some(Self { params, ..Self::default() })
    }
}

impl Serialize for GenerationMetadata {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        // Both prompts first, for people who read it.
        let (text, others): (Vec<_>, Vec<_>) = self
            .params
            .entries()
            .filter(|(row, _)| row.metadata.is_recorded())
            .partition(|(row, _)| row.kind() == ValueKind::Text);
        for (row, value) in text.into_iter().chain(others) {
            if value.is_none() && row.metadata.is_only_if_given() {
                continue;
            }
            let constant = row.default.value().filter(|_| row.default != DefaultRule::Empty);
            match value.or(constant) {
                Some(Value::Text(text)) if row.surface == Surface::Recorded => {
                    match serde_json::from_str::<serde_json::Map<_, _>>(&text) {
                        Ok(record) => map.serialize_entry(row.name, &record)?,
                        Err(_) => map.serialize_entry(row.name, &text)?,
                    }
                }
                Some(Value::Text(text)) => map.serialize_entry(row.name, &text)?,
                Some(Value::Integer(number)) => map.serialize_entry(row.name, &number)?,
                Some(Value::Real(number)) => map.serialize_entry(row.name, &number)?,
                Some(Value::Flag(on)) => map.serialize_entry(row.name, &on)?,
                None => map.serialize_entry(row.name, &())?,
            }
        }
        map.serialize_entry("model", &self.model)?;
        map.serialize_entry("dtype", &self.dtype)?;
        map.serialize_entry("device", &self.device)?;
        map.serialize_entry("program", &self.program)?;
        map.end()
    }
}

/// A record as the text that it is in requests.
fn recorded(value: serde_json::Value) -> Option<Value> {
    match value {
        serde_json::Value::Object(record) => Some(serde_json::Value::from(record).to_string()),
        serde_json::Value::String(text) => Some(text),
        _ => None,
    }
    .map(Value::Text)
}

impl<'de> Deserialize<'de> for GenerationMetadata {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = GenerationMetadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("generation metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut params = Params::default();
                let mut prompt = false;
                let (mut model, mut dtype, mut device, mut program) = (None, None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    let row = Parameter::named(&key).filter(|row| row.metadata.is_recorded());
                    match (row, &*key) {
                        (Some(row), _) => {
                            let value = match row.kind() {
                                ValueKind::Text if row.surface == Surface::Recorded => {
                                    map.next_value::<Option<_>>()?.and_then(recorded)
                                }
                                ValueKind::Text => map.next_value::<Option<_>>()?.map(Value::Text),
                                ValueKind::Integer => {
                                    map.next_value::<Option<_>>()?.map(Value::Integer)
                                }
                                ValueKind::Real => map.next_value::<Option<_>>()?.map(Value::Real),
                                ValueKind::Flag => map.next_value::<Option<_>>()?.map(Value::Flag),
                            };
                            if let Some(value) = value {
                                prompt |= row.name == "prompt";
                                params.set(row.name, value).map_err(A::Error::custom)?;
                            }
                        }
                        (None, "model") => model = map.next_value()?,
                        (None, "dtype") => dtype = map.next_value()?,
                        (None, "device") => device = map.next_value()?,
                        (None, "program") => program = map.next_value()?,
                        (None, _) => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let metadata = GenerationMetadata::of(params).filter(|_| prompt);
                let metadata =
                    metadata.ok_or_else(|| A::Error::custom("a required field is missing"))?;
                Ok(GenerationMetadata { model, dtype, device, program, ..metadata })
            }
        }
        from.deserialize_map(Object)
    }
}

impl GenerationMetadata {
    /// All fields as JSON, as zimg reads them.
    pub fn to_json(&self) -> String {
        // Text and numbers alone: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The same in ASCII, for places whose encoding is not certain: ImageMagick drops PNG texts in
    /// UTF-8, and exiftool takes a maker's note for text only if it is ASCII.
    pub(crate) fn to_ascii_json(&self) -> String {
        let mut ascii = String::new();
        let mut units = [0; 2];
        for c in self.to_json().chars() {
            if matches!(c, ' '..='~') {
                ascii.push(c);
            } else {
                // Letters beyond these are inside of strings.
                for unit in c.encode_utf16(&mut units) {
                    ascii += &format!("\\u{unit:04x}");
                }
            }
        }
        ascii
    }

    /// Reads [`Self::to_json`] of this or another version; none if a required field is missing.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use zimg_protocol::messages::ModelInfo;

    use super::*;

    pub(crate) fn metadata() -> GenerationMetadata {
        GenerationMetadata {
            params: Params {
                negative: Some("a dog".to_owned()),
                width: Some(1024),
                height: Some(768),
                steps: Some(8),
                guidance: Some(1.5),
                guidance_normalization: Some(0.5),
                guidance_truncation: Some(0.75),
                seed: Some(u64::MAX),
                ..Params::new("a red fox,\nin the snow: \"❄\"")
            },
            model: Some("Z-Image-Turbo".to_owned()),
            dtype: Some("bfloat16".to_owned()),
            device: Some("cuda:0, NVIDIA H100".to_owned()),
            program: Some("zimg 0.1.0".to_owned()),
        }
    }

    #[test]
    fn of_an_image_it_is_the_request_with_the_defaults_as_they_became() {
        let params = Params { seed: Some(7), count: Some(3), ..Params::new("a fox") };
        let model =
            ModelInfo { name: "tiny".into(), dtype: "float32".into(), ..Default::default() };
        let started = Started { model, width: 64, height: 80, steps: 4, guidance: 0.0 };
        let image = ImageInfo { index: 1, seed: 8, width: 64, height: 80, bytes: 3 * 64 * 80 };
        let metadata = GenerationMetadata::of_image(&params, &started, &image, "zimg 0.1.0");
        let made = Params {
            width: Some(64),
            height: Some(80),
            steps: Some(4),
            guidance: Some(0.0),
            seed: Some(8),
            count: Some(3),
            ..Params::new("a fox")
        };
        assert_eq!(metadata.params, made);
        assert_eq!((metadata.model.as_deref(), metadata.device), (Some("tiny"), None));
        assert_eq!(
            (metadata.dtype.as_deref(), metadata.program.as_deref()),
            (Some("float32"), Some("zimg 0.1.0"))
        );
    }

    #[test]
    fn json_gives_it_back_and_old_and_new_ones_are_read() {
        assert_eq!(GenerationMetadata::from_json(&metadata().to_json()), Some(metadata()));
        let params = Params { prompt: "é❄🦊\u{7f}".to_owned(), ..metadata().params };
        let wide = GenerationMetadata { params, ..metadata() };
        let ascii = wide.to_ascii_json();
        assert!(ascii.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{ascii}");
        assert_eq!(GenerationMetadata::from_json(&ascii), Some(wide));
        let old = r#"{"prompt":"a","width":64,"height":64,"steps":8,"seed":1,"later":[1]}"#;
        let old = GenerationMetadata::from_json(old).unwrap();
        assert_eq!((old.params.guidance, old.params.guidance_truncation), (Some(0.0), None));
        assert_eq!(old.model, None);
        let all: serde_json::Value = serde_json::from_str(&old.to_json()).unwrap();
        assert_eq!((&all["guidance_truncation"], &all["negative"]), (&1.0.into(), &().into()));
        assert_eq!(GenerationMetadata::from_json(r#"{"prompt":"a"}"#), None);
    }
}
