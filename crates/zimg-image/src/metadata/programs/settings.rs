//! Settings in AUTOMATIC1111's form: `name: value` pairs between commas, in any order. Values are
//! plain, JSON strings, or whole JSON objects and lists.

use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// The longest name of a setting, in bytes.
const NAME_MAX: usize = 64;

/// The pairs of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings(Vec<(String, String)>);

impl Settings {
    /// The pairs of `line`; what is not of a pair is skipped.
    pub(super) fn of(line: &str) -> Self {
        let mut pairs = Vec::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once(':') {
            let name = before.rsplit(',').next().unwrap_or(before).trim();
            let (value, tail) = value(after.trim_start_matches(' '));
            if is_name(name) {
                pairs.push((name.to_owned(), value));
                rest = tail;
            } else {
                rest = after;
            }
        }
        Self(pairs)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value under a name, whatever its case; of several the last, as in programs that read
    /// them into a map.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// These after others.
    pub(super) fn after(self, mut earlier: Self) -> Self {
        earlier.0.extend(self.0);
        earlier
    }
}

/// As `\w[\w \-/]+` of the web UI's own reader.
fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    name.len() <= NAME_MAX
        && name.starts_with(word)
        && name.chars().all(|c| word(c) || matches!(c, ' ' | '-' | '/'))
}

/// The value at the beginning of a text, and what is after its comma.
fn value(text: &str) -> (String, &str) {
    let (value, rest) = match text.as_bytes().first() {
        Some(b'"') => {
            let mut values = Deserializer::from_str(text).into_iter::<String>();
            match values.next() {
                Some(Ok(value)) => (value, text.get(values.byte_offset()..).unwrap_or_default()),
                _ => plain(text),
            }
        }
        Some(b'{' | b'[') => match json_length(text).or_else(|| bracketed(text)) {
            Some(length) => (text[..length].to_owned(), &text[length..]),
            None => plain(text),
        },
        _ => plain(text),
    };
    (value, rest.split_once(',').map_or("", |(_, rest)| rest))
}

fn plain(text: &str) -> (String, &str) {
    let comma = |from: usize| text[from..].find(',').map_or(text.len(), |at| from + at);
    let mut end = comma(0);
    if is_decimal_comma(&text[..end], text.get(end + 1..).unwrap_or_default()) {
        end = comma(end + 1);
    }
    (text[..end].trim().to_owned(), &text[end..])
}

/// Whether the comma between `whole` and `rest` is that of a number, as programs write it which take
/// the language of the system: there are digits on both sides of it, and a setting begins only after
/// the next one. A comma between settings has a space after it.
fn is_decimal_comma(whole: &str, rest: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let fraction = rest.split(',').next().unwrap_or_default();
    let whole = whole.trim();
    is_number(whole.strip_prefix('-').unwrap_or(whole)) && is_number(fraction.trim_end())
}

/// A number with a point or a comma before its fraction.
pub(super) fn real(text: &str) -> Option<f32> {
    let (whole, fraction) = text.split_once(',').unwrap_or((text, ""));
    let number = match is_decimal_comma(whole, fraction) {
        true => format!("{}.{}", whole.trim(), fraction.trim()).parse(),
        false => text.trim().parse(),
    };
    number.ok().filter(|number: &f32| number.is_finite())
}

fn json_length(text: &str) -> Option<usize> {
    let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

/// The length of what is between brackets but is not JSON, such as `[7, 8, ]` of
/// stable-diffusion.cpp.
fn bracketed(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Width and height from `512x768`.
pub(super) fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X', '×'])?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs write numbers as the system's language has them; a comma that separates is followed
    /// by a space, or by a name.
    #[test]
    fn a_comma_in_a_number_is_told_from_one_between_settings() {
        for (line, cfg, seed) in [
            ("Steps: 8, CFG scale: 7,5, Seed: 7", Some(7.5), Some("7")),
            ("CFG scale: 7,5", Some(7.5), None),
            ("CFG scale: 7,25,Seed: 7", Some(7.25), Some("7")),
            ("CFG scale: 7.5,Seed: 7", Some(7.5), Some("7")),
            ("CFG scale: 7,Seed: 7", Some(7.0), Some("7")),
            ("CFG scale: 7, 5, Seed: 7", Some(7.0), Some("7")),
            ("CFG scale: 7,5 Seed: 7", Some(7.0), None),
            ("CFG scale: 7,5e, Seed: 7", Some(7.0), Some("7")),
            ("CFG scale: -1,5, Seed: 7", Some(-1.5), Some("7")),
            ("CFG scale: nan, Seed: 7", None, Some("7")),
            ("CFG scale: 7,5,3, Seed: 7", Some(7.5), Some("7")),
            ("Seed: 7, CFG scale: ,5", None, Some("7")),
        ] {
            let settings = Settings::of(line);
            assert_eq!(settings.get("CFG scale").and_then(real), cfg, "{line}");
            assert_eq!(settings.get("Seed"), seed, "{line}");
        }
    }

    #[test]
    fn pairs_are_read_in_any_order_and_values_whole() {
        let line = "Size: 512x768, Civitai resources: [{\"type\":\"checkpoint\",\"a, b: c\":1}], \
                    Lora hashes: \"a: 1, b: \\\"2\\\"\", Skip layers: [7, 8, ], junk, Seed: 7, \
                    Hashes: {\"model\": \"00ff\"}, Steps: 8, TE: a, TE: b, open: [1, Last: x";
        let settings = Settings::of(line);
        for (name, value) in [
            ("size", "512x768"),
            ("Civitai resources", "[{\"type\":\"checkpoint\",\"a, b: c\":1}]"),
            ("Lora hashes", "a: 1, b: \"2\""),
            ("Skip layers", "[7, 8, ]"),
            ("Seed", "7"),
            ("Hashes", "{\"model\": \"00ff\"}"),
            ("Steps", "8"),
            ("TE", "b"),
            ("Last", "x"),
        ] {
            assert_eq!(settings.get(name), Some(value), "{name}");
        }
        assert_eq!(settings.get("junk"), None);
        assert_eq!(Settings::of("a red fox (sharp:1.4), 4k").len(), 0);
        assert_eq!((size("64 x 80"), size("64"), size("x")), (Some((64, 80)), None, None));
    }
}
