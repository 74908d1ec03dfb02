//! From bytes to text, or the reason why they are none.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::ops::Not;

use crate::encoding::Encoding;
use crate::file_type::file_type;
use crate::shell::shell_word;

/// The byte order mark, which has no meaning in UTF-8.
const MARK: char = '\u{feff}';

/// Why bytes are not taken as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// They are text in another encoding, with a byte order mark or without.
    Encoding(Encoding),
    /// The same, with its byte order mark.
    MarkedEncoding(Encoding),
    /// They are a file of this type.
    FileType(&'static str),
    /// This line, from 1, has this byte where UTF-8 cannot have it.
    NotUtf8 {
        /// From 1.
        line: usize,
        /// The first byte that does not fit.
        byte: u8,
    },
    /// This line, from 1, has a NUL.
    Nul {
        /// From 1.
        line: usize,
    },
}

/// The text of these bytes: UTF-8, without a byte order mark, with LF as line ends.
///
/// # Errors
///
/// What the bytes are instead.
pub fn decode(bytes: &[u8]) -> Result<String, TextError> {
    if let Some(name) = file_type(bytes) {
        return Err(TextError::FileType(name));
    }
    if let Some(encoding) = Encoding::detect(bytes) {
        return Err(match Encoding::marked(bytes) {
            Some(_) => TextError::MarkedEncoding(encoding),
            None => TextError::Encoding(encoding),
        });
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        TextError::NotUtf8 { line: line(&bytes[..at]), byte: bytes.get(at).copied().unwrap_or(0) }
    })?;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(TextError::Nul { line: line(&bytes[..at]) });
    }
    Ok(normalized(text).into_owned())
}

/// The text without byte order marks at its beginning, and with LF for CR LF and for CR alone.
pub fn normalized(text: &str) -> Cow<'_, str> {
    let text = text.trim_start_matches(MARK);
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

impl TextError {
    /// The error as a sentence whose subject is `name`.
    pub fn describe(&self, name: &str) -> String {
        match self {
            Self::Encoding(encoding) | Self::MarkedEncoding(encoding) => {
                format!("{name} is {} text, expected UTF-8", encoding.name())
            }
            Self::FileType(what) => format!("{name} is {what}, expected text"),
            Self::NotUtf8 { line, byte } => {
                format!("{name} is not UTF-8: line {line} has the byte 0x{byte:02X}")
            }
            Self::Nul { line } => format!("{name} is no text: line {line} has a NUL"),
        }
    }

    /// What to do about it, for the file at this path; without one for standard input.
    pub fn hint(&self, file: impl AsRef<OsStr>) -> String {
        let file = file.as_ref();
        let file = file.is_empty().not().then(|| format!(" {}", shell_word(file)));
        let file = file.unwrap_or_default();
        match self {
            Self::Encoding(encoding) => {
                format!("convert it: `iconv -f {} -t UTF-8{file}`", encoding.iconv(false))
            }
            Self::MarkedEncoding(encoding) => {
                format!("convert it: `iconv -f {} -t UTF-8{file}`", encoding.iconv(true))
            }
            Self::FileType(what) if what.starts_with("compressed") => {
                "decompress it first".to_owned()
            }
            Self::FileType(_) => "save it as plain text in UTF-8".to_owned(),
            Self::NotUtf8 { .. } => format!(
                "convert it from the encoding that it was saved in, such as \
                 `iconv -f WINDOWS-1252 -t UTF-8{file}`"
            ),
            Self::Nul { .. } => format!(
                "remove it, such as with `tr -d '\\0'{}",
                match &*file {
                    "" => "`".to_owned(),
                    file => format!(" <{file}`"),
                }
            ),
        }
    }
}

/// The number of the line, from 1, that begins or goes on after these bytes.
fn line(before: &[u8]) -> usize {
    let ends = before.iter().zip(before.iter().skip(1).chain([&b' ']));
    1 + ends.filter(|(byte, next)| **byte == b'\n' || **byte == b'\r' && **next != b'\n').count()
}
