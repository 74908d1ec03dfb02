//! Values of JSON objects as other programs write them: numbers also as text, integers also as
//! `7.0`.

use serde_json::{Map, Value};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// The object that `text` is. Python writes NaN and Infinity, which JSON does not have.
pub(super) fn object(text: &str) -> Option<Object> {
    let text = text.trim();
    if !text.starts_with('{') {
        return None;
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&without_nan(text))).ok()
}

/// The text with `null` where it has NaN or an infinity outside of strings.
fn without_nan(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let words = ["NaN", "-Infinity", "Infinity"];
        if let Some(after) = words.iter().find_map(|word| rest.strip_prefix(word))
            && !in_string
        {
            plain += "null";
            rest = after;
            continue;
        }
        // An escaped letter, which may be a quote.
        let length = if in_string && c == '\\' {
            1 + rest[1..].chars().next().map_or(0, char::len_utf8)
        } else {
            in_string ^= c == '"';
            c.len_utf8()
        };
        let (head, tail) = rest.split_at(length);
        plain += head;
        rest = tail;
    }
    plain
}

/// A text, if there is one under the key.
pub(super) fn text(object: &Object, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(str::to_owned)
}

/// A number that is not negative, has no fraction and is known exactly.
pub(super) fn integer(value: &Value) -> Option<u64> {
    const EXACT: f64 = (1_u64 << 53) as f64;
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let number = number.as_f64()?;
            (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
        }),
        Value::String(text) => whole(text),
        _ => None,
    }
}

/// An integer from text.
pub(super) fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|b| b == b'0'));
    digits.map_or(text, |(digits, _)| digits).parse().ok()
}

/// A side or a number of steps.
pub(super) fn small(object: &Object, key: &str) -> Option<u32> {
    integer(object.get(key)?)?.try_into().ok()
}

/// A seed.
pub(super) fn seed(object: &Object, key: &str) -> Option<u64> {
    integer(object.get(key)?)
}

/// A finite number.
pub(super) fn real(object: &Object, key: &str) -> Option<f32> {
    let number = match object.get(key)? {
        Value::Number(number) => number.as_f64()? as f32,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_form_and_only_exactly() {
        let object = object(
            r#"{"a": 7, "b": "7", "c": 7.0, "d": "7.00", "e": -1, "f": 7.5, "g": 1e300,
                "h": 18446744073709551615, "i": "x", "j": NaN, "k": "NaN \" Infinity"}"#,
        )
        .unwrap();
        let integers: Vec<_> =
            "abcdefghij".chars().map(|c| seed(&object, &c.to_string())).collect();
        let seven = Some(7);
        let expected = [seven, seven, seven, seven, None, None, None, Some(u64::MAX), None, None];
        assert_eq!(integers, expected);
        assert_eq!((real(&object, "f"), real(&object, "i")), (Some(7.5), None));
        assert_eq!(text(&object, "k").as_deref(), Some("NaN \" Infinity"));
        assert_eq!(super::object("[1]"), None);
    }
}
