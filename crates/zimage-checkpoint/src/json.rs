//! JSON that is not what it should be, in sentences: the parser names Rust's types and no key.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

/// Words of the parser for what it found or expected, and those of JSON.
const WORDS: [(&str, &str); 15] = [
    ("boolean `true`", "true"),
    ("boolean `false`", "false"),
    ("sequence", "a list"),
    ("map", "an object"),
    ("a sequence", "a list"),
    ("a map", "an object"),
    ("a string", "text"),
    ("a boolean", "true or false"),
    ("i64", "a whole number"),
    ("i32", "a whole number"),
    ("u64", "a whole number that is not negative"),
    ("u32", "a whole number that is not negative"),
    ("usize", "a whole number that is not negative"),
    ("f64", "a number"),
    ("unit", "null"),
];

/// Characters of a sentence; what it quotes may be as long as the file.
const SAID: usize = 200;

/// Parses an object.
///
/// # Errors
///
/// What it is instead, where it breaks off, or which key has another kind of value.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let error = match other_value(bytes) {
        Some(what) => return Err(format!("it is {what}, expected an object: {{…}}")),
        None => match serde_json::from_slice(bytes) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        },
    };
    let text = error.to_string();
    let said = text.rsplit_once(" at line ").map_or(&*text, |(said, _)| said);
    let said = match error.classify() {
        Category::Eof => format!("it is cut: it ends in line {}", error.line()),
        Category::Data => match key_before(bytes, error.line(), error.column()) {
            // The parser names a key that is missing or comes twice itself.
            Some(key) if !said.contains(" field `") => format!("`{key}`: {}", plainly(said)),
            _ => plainly(said),
        },
        Category::Syntax | Category::Io => {
            format!("line {}, column {}: {said}", error.line(), error.column())
        }
    };
    Err(in_one_line(&said))
}

/// A sentence that quotes the file: its control characters are escaped, and its end is cut.
fn in_one_line(said: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.into() };
    let mut line: String = said.chars().take(SAID).map(shown).collect();
    if said.chars().nth(SAID).is_some() {
        line.push('…');
    }
    line
}

/// What a whole JSON value is that is no object.
fn other_value(bytes: &[u8]) -> Option<&'static str> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
    let what = match first {
        b'{' => return None,
        b'[' => "a list",
        b'"' => "text in quotes",
        b't' => "`true`",
        b'f' => "`false`",
        b'n' => "`null`",
        _ => "a number",
    };
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok().then_some(what)
}

/// The parser's sentence in words of JSON.
fn plainly(said: &str) -> String {
    let word = |word: &str| {
        let known = WORDS.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
        let rust = word.starts_with("struct ").then_some("an object");
        let number =
            ["integer `", "floating point `"].iter().find_map(|kind| word.strip_prefix(kind));
        match (known.or(rust), number) {
            (Some(word), _) => word.to_owned(),
            (None, Some(number)) => number.trim_end_matches('`').to_owned(),
            (None, None) => word.to_owned(),
        }
    };
    let invalid = said.strip_prefix("invalid type: ").or(said.strip_prefix("invalid value: "));
    match invalid.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("it is {}, expected {}", word(found), word(expected)),
        None => said.to_owned(),
    }
}

/// The last key that begins before this place.
fn key_before(bytes: &[u8], line: usize, column: usize) -> Option<String> {
    let start: usize =
        bytes.split_inclusive(|byte| *byte == b'\n').take(line - 1).map(<[u8]>::len).sum();
    let end = (start + column).min(bytes.len());
    let (mut at, mut key) = (0, None);
    while at < end {
        if bytes[at] != b'"' {
            at += 1;
            continue;
        }
        let mut after = at + 1;
        while after < bytes.len() && bytes[after] != b'"' {
            after += if bytes[after] == b'\\' { 2 } else { 1 };
        }
        let rest = bytes.get(after + 1..).unwrap_or_default();
        if rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
            key = bytes.get(at + 1..after);
        }
        at = after + 1;
    }
    key.map(|key| String::from_utf8_lossy(key).chars().take(60).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only their types count")]
    struct Sample {
        width: i64,
        name: Option<String>,
        heads: Option<Vec<i64>>,
        eps: Option<f64>,
        inner: Option<BTreeMap<String, bool>>,
    }

    #[test]
    fn what_is_wrong_is_said_in_words_of_json() {
        for (text, said) in [
            ("false", "it is `false`, expected an object: {…}"),
            ("true", "it is `true`, expected an object: {…}"),
            (" null\n", "it is `null`, expected an object: {…}"),
            ("-7.5", "it is a number, expected an object: {…}"),
            ("\"x\"", "it is text in quotes, expected an object: {…}"),
            ("[1, null, null, null, null]", "it is a list, expected an object: {…}"),
            ("{", "it is cut: it ends in line 1"),
            ("{\"width\": 7,\n\"name\": \"a", "it is cut: it ends in line 2"),
            ("{\"width\": 7,}", "line 1, column 13: trailing comma"),
            ("{'width': 7}", "line 1, column 2: key must be a string"),
            ("nothing", "line 1, column 2: expected ident"),
            ("{}", "missing field `width`"),
            ("{\"width\": 7, \"width\": 7}", "duplicate field `width`"),
            ("{\"width\": \"7\"}", "`width`: it is string \"7\", expected a whole number"),
            ("{\"width\": 7.5}", "`width`: it is 7.5, expected a whole number"),
            ("{\"width\": null}", "`width`: it is null, expected a whole number"),
            ("{\"width\": [7]}", "`width`: it is a list, expected a whole number"),
            (
                "{\n\"a\": \"b:\", \"width\": {\"c\": 7}}",
                "`width`: it is an object, expected a whole number",
            ),
            ("{\"width\": 7, \"name\": true}", "`name`: it is true, expected text"),
            ("{\"width\": 7, \"heads\": 3}", "`heads`: it is 3, expected a list"),
            (
                "{\"width\": 7, \"heads\": [1, \"\\\"\"]}",
                "`heads`: it is string \"\\\"\", expected a whole number",
            ),
            ("{\"width\": 7, \"eps\": \"e\"}", "`eps`: it is string \"e\", expected a number"),
            ("{\"width\": 7, \"inner\": {\"a\": 1}}", "`a`: it is 1, expected true or false"),
        ] {
            assert_eq!(object::<Sample>(text.as_bytes()).unwrap_err(), said, "{text}");
        }
        assert!(object::<Sample>(b"{\"width\": 7}").is_ok());
    }

    #[test]
    fn what_is_quoted_stays_in_one_short_line() {
        #[derive(Debug, Deserialize)]
        enum Format {
            F16,
        }
        let refused = |name: &str| {
            let text = format!("{{\"a\": \"{name}\"}}");
            object::<BTreeMap<String, Format>>(text.as_bytes()).unwrap_err()
        };
        assert!(object::<BTreeMap<String, Format>>(b"{\"a\": \"F16\"}").is_ok());
        assert_eq!(refused("I\\nt"), "`a`: unknown variant `I\\nt`, expected `F16`");
        assert_eq!(refused("\\u001b[2J"), "`a`: unknown variant `\\u{1b}[2J`, expected `F16`");
        let long = refused(&"x".repeat(1 << 20));
        assert!(long.ends_with("x…") && long.chars().count() == SAID + 1, "{long}");
    }
}
