//! Files in JSON: base64, with or without the beginning of a `data:` address. No address is fetched.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::fields::expected;
use crate::daemon::SentFile;
use crate::problem::Problem;

/// The file in a field's value.
///
/// # Errors
///
/// It is no base64.
pub(crate) fn file_of(name: &str, value: &Value) -> Result<SentFile, Problem> {
    let wrong = || expected(name, value, "a file as base64");
    let text = value.as_str().ok_or_else(wrong)?;
    let encoded = match text.split_once(";base64,") {
        Some((kind, encoded)) if kind.starts_with("data:") => encoded,
        _ => text,
    };
    let file = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
    if file.is_empty() { Err(wrong()) } else { Ok(SentFile { name: None, bytes: file.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_a_file_and_an_address_is_none() {
        for text in ["QUI=", " QUI=\n", "data:image/png;base64,QUI="] {
            assert_eq!(
                file_of("image", &text.into()).map(|file| file.bytes),
                Ok("AB".into()),
                "{text}"
            );
        }
        for text in ["", "https://x/y.png", "file:///etc/passwd", "data:image/png;base64,"] {
            let problem = file_of("image", &text.into()).unwrap_err();
            assert_eq!(problem.parameter(), Some("image"), "{text}");
        }
        assert!(file_of("image", &Value::from(7)).is_err());
    }
}
