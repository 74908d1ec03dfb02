//! One entry of a batch: a prompt, an object or a string of JSON, or options of the web UI.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use zimg_client::{Failure, Kind};

use super::a1111;
use super::form::{is_object, unescaped};
use super::keys::{self, Keys};

pub(crate) use super::keys::BatchItem;

impl BatchItem {
    /// Parses an entry.
    ///
    /// # Errors
    ///
    /// `Refused`: it is invalid JSON, or has keys or values that are not known.
    pub(crate) fn of(text: &str) -> Result<Self, Failure> {
        let Some(pairs) = pairs(text)? else {
            let prompt = string(text).unwrap_or_else(|| unescaped(text).to_owned());
            return Ok(Self { prompt, ..Self::default() });
        };
        let mut keys = Keys::default();
        if let Some(failure) = container(&pairs) {
            return Err(failure);
        }
        pairs.iter().try_for_each(|(key, value)| keys.add(key, value))?;
        keys.finish()
    }
}

/// The number of images of an entry, and whether it has a seed of its own, without validation.
pub(super) fn glance(text: &str, otherwise: u64) -> (u64, bool) {
    match pairs(text) {
        Ok(Some(pairs)) => keys::glance(&pairs, otherwise),
        Ok(None) => (otherwise, false),
        Err(_) => (1, false),
    }
}

/// The keys and values of an entry; none if it is only a prompt.
fn pairs(text: &str) -> Result<Option<Vec<(String, Json)>>, Failure> {
    if is_object(text) {
        let Pairs(pairs) = serde_json::from_str(text).map_err(|error| {
            let failure =
                Failure::new(Kind::Refused, format!("the line is not valid JSON: {error}"));
            match text.contains('\'') && !text.contains('"') {
                true => failure.hint("JSON has double quotes: {\"prompt\": \"…\"}"),
                false => failure,
            }
        })?;
        return Ok(Some(pairs));
    }
    if !a1111::is_options(text) {
        return Ok(None);
    }
    let options = a1111::options(text)
        .map_err(|why| Failure::new(Kind::Refused, format!("the line's options: {why}")))?;
    Ok(Some(options.into_iter().map(|(name, value)| (name, Json::String(value))).collect()))
}

/// A whole entry that is a string of JSON, as `jq -c '.[]'` prints those of an array.
fn string(text: &str) -> Option<String> {
    text.trim_start().starts_with('"').then(|| serde_json::from_str(text).ok()).flatten()
}

/// The failure of an object that holds the batch, or something else, instead of a prompt.
fn container(pairs: &[(String, Json)]) -> Option<Failure> {
    let has = |name: &str| pairs.iter().any(|(key, _)| key == name);
    let prompt = pairs.iter().any(|(key, value)| key == "prompt" && value.is_array());
    let message = if prompt { "`prompt` is not a string" } else { "the object has no `prompt`" };
    let is_node = |value: &Json| value.get("class_type").is_some();
    if has("nodes") && has("links") || pairs.iter().any(|(_, value)| is_node(value)) {
        let message = format!("{message}: it is a workflow of ComfyUI");
        return Some(Failure::new(Kind::Refused, message));
    }
    let is_list = |value: &Json| value.as_array().is_some_and(|list| !list.is_empty());
    let list = pairs.iter().find(|(_, value)| is_list(value))?;
    (pairs.len() == 1).then(|| {
        let key = serde_json::Value::from(list.0.as_str());
        Failure::new(Kind::Refused, message)
            .hint(format!("take the list out of it: `jq -c '.[{key}][]' | zimg --batch -`"))
    })
}

/// An object's keys in their order, those that come twice included.
struct Pairs(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = from.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zimg_client::Params;

    use super::*;
    use crate::cli::{DrawOptions, ParamOptions};

    fn refusal(line: &str) -> String {
        let failure = BatchItem::of(line).unwrap_err();
        assert_eq!(failure.kind, Kind::Refused);
        failure.message
    }

    #[test]
    fn a_line_is_a_prompt_or_an_object() {
        assert_eq!(BatchItem::of("a fox, \"red\"").unwrap().prompt, "a fox, \"red\"");
        let item = BatchItem::of(
            r#" {"prompt": "a fox", "size": "64x80", "seed": 18446744073709551615, "steps": 4,
                 "guidance": 1.5, "round": true, "negative": null, "metadata": false}"#,
        )
        .unwrap();
        let expected = DrawOptions {
            size: Some((64, 80)),
            params: ParamOptions(Params {
                seed: Some(u64::MAX),
                steps: Some(4),
                guidance: Some(1.5),
                ..Params::default()
            }),
            round: true,
            no_metadata: true,
            ..DrawOptions::default()
        };
        let item_of =
            |options| BatchItem { prompt: "a fox".to_owned(), options, ..BatchItem::default() };
        assert_eq!(item, item_of(expected));
    }

    #[test]
    fn lines_of_other_forms_are_prompts_or_objects_too() {
        for (line, prompt) in [
            (r#""a \"red\" circle""#, "a \"red\" circle"),
            (r#""OPEN" on a sign"#, r#""OPEN" on a sign"#),
            ("{red|blue} fox", "{red|blue} fox"),
            ("[cat|dog] in snow", "[cat|dog] in snow"),
            (r"\# 1", "# 1"),
            ("-5 degrees", "-5 degrees"),
            (r#"--prompt "a red circle""#, "a red circle"),
        ] {
            assert_eq!(BatchItem::of(line).unwrap().prompt, prompt, "{line}");
        }
    }

    /// The names and values of other programs, and the options that they are here.
    #[test]
    fn names_and_units_of_other_programs_are_understood() {
        let params = |line: &str| {
            let item = BatchItem::of(line).unwrap_or_else(|failure| panic!("{line}: {failure}"));
            (item.options.size, item.options.params.0, item.random_seed)
        };
        let plain = |params| (None, params, false);
        for (keys, expected) in [
            (r#""seed": 1.0"#, plain(Params { seed: Some(1), ..Params::default() })),
            (r#""seed": 1e3"#, plain(Params { seed: Some(1000), ..Params::default() })),
            (r#""seed": "7""#, plain(Params { seed: Some(7), ..Params::default() })),
            (r#""seed": -1"#, (None, Params::default(), true)),
            (r#""seed": -1.0"#, (None, Params::default(), true)),
            (r#""seed": """#, plain(Params::default())),
            (r#""steps": 20.0"#, plain(Params { steps: Some(20), ..Params::default() })),
            (r#""num_inference_steps": 9"#, plain(Params { steps: Some(9), ..Params::default() })),
            (r#""cfg_scale": 7"#, plain(Params { guidance: Some(6.0), ..Params::default() })),
            (r#""cfgScale": 1.0"#, plain(Params { guidance: Some(0.0), ..Params::default() })),
            (r#""CFG scale": "3.3""#, plain(Params { guidance: Some(2.3), ..Params::default() })),
            (
                r#""guidance_scale": 0.0"#,
                plain(Params { guidance: Some(0.0), ..Params::default() }),
            ),
            (
                r#""negative_prompt": "b""#,
                plain(Params { negative: Some("b".into()), ..Params::default() }),
            ),
            (r#""width": 64, "height": 80.0"#, (Some((64, 80)), Params::default(), false)),
            (
                r#""batch_size": 2, "n_iter": 3"#,
                plain(Params { count: Some(6), ..Params::default() }),
            ),
            (
                r#""cfg_normalization": false"#,
                plain(Params { guidance_normalization: Some(0.0), ..Params::default() }),
            ),
            (r#""enable_hr": false, "init_images": [], "lora": null"#, plain(Params::default())),
        ] {
            assert_eq!(params(&format!(r#"{{"prompt": "a", {keys}}}"#)), expected, "{keys}");
        }
        let line = r#"--prompt "a" --steps 20 --cfg_scale 7 --seed -1 --width 64 --height 64 --sampler_name "Euler a""#;
        let expected = Params { steps: Some(20), guidance: Some(6.0), ..Params::default() };
        assert_eq!(params(line), (Some((64, 64)), expected, true));
        assert_eq!(
            BatchItem::of(line).unwrap().told,
            ["`sampler_name` is ignored: there is one sampler, Euler on the model's own schedule"]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refusal("{").starts_with("the line is not valid JSON: "));
        for (line, said) in [
            ("{}", "the object has no `prompt`"),
            (r#"{"prompt":1}"#, "`prompt` is not a string"),
            (r#"{"prompt":["a"]}"#, "`prompt` is not a string"),
            (r#"{"prompt":"a","sede":1}"#, "`sede`: there is no such setting, but `seed`"),
            (
                r#"{"prompt":"a","negativ_prompt":"b"}"#,
                "`negativ_prompt`: there is no such setting, but `negative_prompt`",
            ),
            (r#"{"prompt":"a","zzz":1}"#, "`zzz`: there is no such setting"),
            (r#"{"prompt":"a","size":[1]}"#, "`size` is not a string, a number, true or false"),
            (r#"{"prompt":"a","prompt":"b"}"#, "`prompt` is given twice"),
            (
                r#"{"prompt":"a","guidance":1,"cfg_scale":7}"#,
                "`guidance` and `cfg_scale` are both given, and are the same parameter",
            ),
            (
                r#"{"prompt":"a","width":64,"height":64,"size":"64x64"}"#,
                "`size` and `width` are both given, and are the same parameter",
            ),
            (r#"{"prompt":"a","width":64}"#, "`width` is given without `height`"),
            (r#"{"prompt":"a","cfg":0}"#, "`cfg`: it is 0, expected a number from 1 to 101"),
            (r#"{"prompt":"a","cfg":"x"}"#, "`cfg`: it is not a number"),
            (
                r#"{"prompt":"a","init_images":["a"]}"#,
                "`init_images`: the initial image is `init`, the name of a file",
            ),
            (
                r#"{"prompt":"a","control_image":"a"}"#,
                "`control_image`: the control image is `control`, the name of a file",
            ),
            (r#"{"prompt":"a","model":"x"}"#, "`model`: model and device are options of zimaged"),
            (
                r#"{"nodes":[],"links":[]}"#,
                "the object has no `prompt`: it is a workflow of ComfyUI",
            ),
            ("--steps 4", "the object has no `prompt`"),
            ("--prompt 'a", "the line's options: a quote ' is not closed"),
            ("--ar 16:9", "`ar`: there is no such setting"),
        ] {
            assert_eq!(refusal(line), said, "{line}");
        }
        assert!(refusal(r#"{"prompt":"a","size":"big"}"#).contains("a size is WxH"));
        assert!(refusal(r#"{"prompt":"a","seed":1.5}"#).contains("`seed`: "));
        let list = BatchItem::of(r#"{"prompts":["a","b"]}"#).unwrap_err();
        assert!(list.hint.unwrap().contains("jq -c '.[\"prompts\"][]'"));
        assert!(
            BatchItem::of("{'prompt': 'a'}").unwrap_err().hint.unwrap().contains("double quotes")
        );
    }

    #[test]
    fn images_are_counted_at_a_glance() {
        assert_eq!(glance("a fox", 2), (2, false));
        assert_eq!(glance(r#"{"prompt":"a","count":3,"seed":1}"#, 2), (3, true));
        assert_eq!(glance(r#"{"prompt":"a"}"#, 2), (2, false));
        assert_eq!(glance("{", 2), (1, false));
        assert_eq!(glance("--prompt a --n_iter 2 --batch_size 2", 1), (4, false));
    }

    proptest! {
        #[test]
        fn any_line_is_understood_or_refused(line: String) {
            for line in [line.clone(), format!("{{{line}"), format!("{{\"{line}"), format!("--{line}")] {
                let _ = BatchItem::of(&line);
                let _ = glance(&line, 1);
            }
        }

        /// Ordinary lines are prompts, as they stand.
        #[test]
        fn ordinary_lines_are_prompts(line in "[a-zA-Z0-9(][a-zA-Z0-9 ,.:()|{}<>-]{0,60}") {
            prop_assert_eq!(BatchItem::of(&line).unwrap(), BatchItem { prompt: line, ..BatchItem::default() });
        }
    }
}
