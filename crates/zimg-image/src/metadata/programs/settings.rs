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
    let end = text.find(',').unwrap_or(text.len());
    (text[..end].trim().to_owned(), &text[end..])
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
