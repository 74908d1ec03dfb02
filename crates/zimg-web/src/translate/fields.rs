//! Fields of a request: a JSON object, from which each known field is taken once.
//!
//! A field that is null is one that is absent: clients write all that they know.

use serde_json::{Map, Value};

use crate::problem::{Problem, Reason};

/// The fields that were not taken yet.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of a body.
    ///
    /// # Errors
    ///
    /// The body is no JSON object.
    pub(crate) fn of(body: &[u8]) -> Result<Self, Problem> {
        let problem = |what: String| {
            Problem::new(Reason::Invalid, format!("the body is {what}, expected a JSON object"))
        };
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self::from(fields)),
            Ok(other) => Err(problem(kind_of(&other).to_owned())),
            Err(_) if body.is_empty() => Err(problem("empty".to_owned())),
            // serde_json's sentence could repeat what stands in the body.
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(problem(format!("no JSON at line {line}, column {column}")))
            }
        }
    }

    /// Takes a field.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Takes a field that is text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(expected(name, &other, "text")),
        }
    }

    /// Takes a field that is true or false.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(on)),
            Some(other) => Err(expected(name, &other, "true or false")),
        }
    }

    /// Takes a field that is an integer from `min` to `max`.
    pub(crate) fn integer(&mut self, name: &str, min: u8, max: u8) -> Result<Option<u8>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(expected(name, &value, &format!("an integer from {min} to {max}"))),
        }
    }

    /// Takes a field that is one of these words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match found {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Err(expected(name, &value, &format!("one of {}", words.join(", "))))
            }
        }
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(mut fields: Map<String, Value>) -> Self {
        fields.retain(|_, value| !value.is_null());
        Self(fields)
    }
}

impl IntoIterator for Fields {
    type Item = (String, Value);
    type IntoIter = serde_json::map::IntoIter;

    /// The fields that no one has taken.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Whether a setting of this value asks for nothing: clients send all their switches, most of them
/// off.
pub(crate) fn is_inactive(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64().is_some_and(|number| number <= 0.0),
        Value::String(text) => {
            let text = text.trim();
            text.is_empty() || text.eq_ignore_ascii_case("none") || text == "auto"
        }
        Value::Array(values) => values.iter().all(is_inactive),
        Value::Object(fields) => fields.values().all(is_inactive),
    }
}

/// The refusal of a field's value. Text is not repeated: it may be a prompt or a password.
pub(super) fn expected(name: &str, found: &Value, expected: &str) -> Problem {
    let found = match found {
        Value::Number(number) => number.to_string(),
        Value::Bool(on) => on.to_string(),
        other => kind_of(other).to_owned(),
    };
    let message = format!("`{name}` is {found}, expected {expected}");
    Problem::new(Reason::Invalid, message).param(name)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "the empty text",
        Value::String(_) => "another text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_and_what_it_holds_is_not_repeated() {
        let deep = "[".repeat(1_000_000);
        for body in
            ["", "[]", "7", "null", "\"secret\"", "{\"a\": secret}", "{", &deep, "{\"a\":1}{"]
        {
            let problem = Fields::of(body.as_bytes()).unwrap_err();
            assert!(problem.message().starts_with("the body is "), "{}", problem.message());
            assert!(!problem.message().contains("secret"), "{}", problem.message());
        }
        assert!(Fields::of(b"{\"a\": \"\xff\"}").is_err());
        let mut fields = Fields::of(b"{\"a\": null, \"b\": 1}").unwrap();
        assert_eq!((fields.take("a"), fields.take("b")), (None, Some(1.into())));
    }

    #[test]
    fn values_of_another_type_are_refused_by_name() {
        let fields = || {
            Fields::of(br#"{"text": "x", "on": true, "three": 3, "real": 2.5, "minus": -1}"#)
                .unwrap()
        };
        assert_eq!(fields().text("text"), Ok(Some("x".to_owned())));
        assert_eq!(fields().flag("on"), Ok(Some(true)));
        assert_eq!(fields().integer("three", 1, 3), Ok(Some(3)));
        assert_eq!(fields().word("text", &[("y", 1), ("x", 2)]), Ok(Some(2)));
        assert_eq!(fields().text("absent"), Ok(None));
        for (problem, name) in [
            (fields().text("on").unwrap_err(), "on"),
            (fields().flag("three").unwrap_err(), "three"),
            (fields().integer("three", 1, 2).unwrap_err(), "three"),
            (fields().integer("real", 1, 5).unwrap_err(), "real"),
            (fields().integer("minus", 0, 5).unwrap_err(), "minus"),
            (fields().integer("text", 0, 5).unwrap_err(), "text"),
            (fields().word("text", &[("y", 1)]).unwrap_err(), "text"),
            (fields().word("on", &[("y", 1)]).unwrap_err(), "on"),
        ] {
            assert_eq!(problem.parameter(), Some(name));
        }
    }

    #[test]
    fn switches_that_are_off_ask_for_nothing() {
        for off in [
            "null",
            "false",
            "0",
            "0.0",
            "-1",
            "\"\"",
            "\"None\"",
            "\"auto\"",
            "[]",
            "{}",
            "[null,0]",
            "{\"a\":{\"b\":false}}",
        ] {
            assert!(is_inactive(&serde_json::from_str(off).unwrap()), "{off}");
        }
        for on in ["true", "1", "0.5", "\"x\"", "[1]", "{\"a\":[\"x\"]}"] {
            assert!(!is_inactive(&serde_json::from_str(on).unwrap()), "{on}");
        }
    }
}
