//! `--json` fields of a file's path.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

/// The path as text. JSON is UTF-8 and paths are bytes, so a path that is not UTF-8 is there a
/// second time, percent-encoded.
#[derive(Serialize)]
pub(crate) struct PathFields {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_percent: Option<String>,
}

impl From<&Path> for PathFields {
    fn from(path: &Path) -> Self {
        let exact = path.to_str().is_some();
        Self {
            path: path.display().to_string(),
            path_percent: (!exact).then(|| percent_encoded(path.as_os_str().as_bytes())),
        }
    }
}

/// Unreserved characters of URLs (RFC 3986) and slashes as they are.
fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |encoded, byte| match byte {
        b'/' | b'.' | b'_' | b'-' | b'~' => encoded + &char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => encoded + &char::from(*byte).to_string(),
        byte => encoded + &format!("%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_that_is_no_text_is_there_in_full() {
        let json = |bytes: &[u8]| {
            let path = Path::new(OsStr::from_bytes(bytes));
            serde_json::to_string(&PathFields::from(path)).unwrap()
        };
        assert_eq!(json(b"a %.png"), r#"{"path":"a %.png"}"#);
        assert_eq!(
            json(b"d/caf\xe9 %.png"),
            "{\"path\":\"d/caf\u{fffd} %.png\",\"path_percent\":\"d/caf%E9%20%25.png\"}"
        );
    }
}
