//! One line of a batch: a prompt, or a JSON object with a prompt and options.

use std::io::{BufRead, Read};

use serde_json::{Map, Value as Json};
use zimg_client::limits::PROMPT_BYTES;
use zimg_client::params::Parameter;
use zimg_client::{Failure, Kind};

use crate::cli::DrawOptions;
use crate::settings::{self, SettingValue};

/// The longest line: prompt and negative prompt with each character escaped.
const LINE_MAX: usize = 16 * PROMPT_BYTES;

/// The prompt and the options of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BatchItem {
    pub(crate) prompt: String,
    pub(crate) options: DrawOptions,
}

/// The next line that is not blank, without its end; none at the end.
///
/// # Errors
///
/// `Io`: it cannot be read. `Refused`: it is too long or not UTF-8; the next one can be read.
pub(super) fn next(source: &mut dyn BufRead, number: &mut u64) -> Result<Option<String>, Failure> {
    loop {
        let mut bytes = Vec::new();
        let read = source.take(LINE_MAX as u64 + 2).read_until(b'\n', &mut bytes);
        read.map_err(|error| unreadable(&error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        *number += 1;
        let whole = bytes.last() == Some(&b'\n');
        if bytes.len() - usize::from(whole) > LINE_MAX {
            let skipped = if whole { Ok(0) } else { source.skip_until(b'\n') };
            skipped.map_err(|error| unreadable(&error))?;
            return Err(Failure::new(
                Kind::Refused,
                format!("the line is longer than {LINE_MAX} bytes"),
            ));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(Kind::Refused, "the line is not UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if !text.trim().is_empty() {
            return Ok(Some(text.to_owned()));
        }
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Io, format!("cannot read the batch: {error}"))
}

impl BatchItem {
    /// Parses a line.
    ///
    /// # Errors
    ///
    /// `Refused`: the line is invalid JSON or not such an object.
    pub(crate) fn of(line: &str) -> Result<Self, Failure> {
        let refused = |why: String| Failure::new(Kind::Refused, why);
        if !line.trim_start().starts_with('{') {
            return Ok(Self { prompt: line.to_owned(), options: DrawOptions::default() });
        }
        let object: Map<String, Json> = serde_json::from_str(line)
            .map_err(|error| refused(format!("the line is not valid JSON: {error}")))?;
        let mut item = Self::default();
        let mut prompt = None;
        for (key, value) in object {
            if key == "prompt" {
                let Json::String(text) = value else {
                    return Err(refused("`prompt` is not a string".to_owned()));
                };
                prompt = Some(text);
                continue;
            }
            let value = match value {
                // `null` is the same as no key.
                Json::Null => continue,
                Json::String(text) => SettingValue::Text(text.into()),
                Json::Number(number) => SettingValue::Number(number.to_string()),
                Json::Bool(on) => SettingValue::Switch(on),
                _ => {
                    return Err(refused(format!(
                        "`{key}` is not a string, a number, true or false"
                    )));
                }
            };
            // Other programs' names are understood here, where whole files of theirs come in.
            let key = Parameter::named_or_alias(&key).map_or(&*key, |(row, _)| row.name);
            let option = settings::option(key, &value)
                .map_err(|wrong| refused(format!("`{key}`: {wrong}")))?;
            item.options = option.or(item.options);
        }
        item.prompt = prompt.ok_or_else(|| refused("the object has no `prompt`".to_owned()))?;
        Ok(item)
    }
}

/// The number of images of a line, without validation.
pub(super) fn images(line: &str, otherwise: u64) -> u64 {
    if !line.trim_start().starts_with('{') {
        return otherwise;
    }
    let object: Option<Map<String, Json>> = serde_json::from_str(line).ok();
    object.map_or(1, |object| object.get("count").and_then(Json::as_u64).unwrap_or(otherwise))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zimg_client::Params;

    use super::*;
    use crate::cli::ParamOptions;

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
        assert_eq!(item, BatchItem { prompt: "a fox".to_owned(), options: expected });
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refusal("{").starts_with("the line is not valid JSON: "));
        assert_eq!(refusal("{}"), "the object has no `prompt`");
        assert_eq!(refusal(r#"{"prompt":1}"#), "`prompt` is not a string");
        assert_eq!(
            refusal(r#"{"prompt":"a","sede":1}"#),
            "`sede`: there is no such setting, but `seed`"
        );
        assert_eq!(
            refusal(r#"{"prompt":"a","size":[1]}"#),
            "`size` is not a string, a number, true or false"
        );
        assert!(refusal(r#"{"prompt":"a","size":"big"}"#).contains("a size is WxH"));
    }

    #[test]
    fn lines_are_numbered_and_bounded() {
        let long = "x".repeat(LINE_MAX + 1);
        let text = format!("\u{feff}a\r\n\n  \nb\n{long}\nc");
        let (mut source, mut number) = (text.as_bytes(), 0);
        let mut next = || {
            let line = next(&mut source, &mut number);
            (line.map_err(|failure| failure.message), number)
        };
        assert_eq!(next(), (Ok(Some("a".to_owned())), 1));
        assert_eq!(next(), (Ok(Some("b".to_owned())), 4));
        assert_eq!(next(), (Err(format!("the line is longer than {LINE_MAX} bytes")), 5));
        assert_eq!(next(), (Ok(Some("c".to_owned())), 6));
        assert_eq!(next(), (Ok(None), 6));
        let mut odd = &b"\xff\n"[..];
        assert_eq!(super::next(&mut odd, &mut 0).unwrap_err().message, "the line is not UTF-8");
    }

    #[test]
    fn images_are_counted_at_a_glance() {
        assert_eq!(images("a fox", 2), 2);
        assert_eq!(images(r#"{"prompt":"a","count":3}"#, 2), 3);
        assert_eq!(images(r#"{"prompt":"a"}"#, 2), 2);
        assert_eq!(images("{", 2), 1);
    }

    proptest! {
        #[test]
        fn any_line_is_understood_or_refused(line: String) {
            let _ = BatchItem::of(&line);
            let _ = BatchItem::of(&format!("{{{line}"));
        }
    }
}
