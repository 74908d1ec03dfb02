//! Contents that are found in the place of a checkpoint's file, recognised by their first bytes.
//!
//! Downloads that went wrong leave files of the right name: `git clone` without LFS leaves pointers,
//! a page that asks for a log-in is saved as if it were the weights.

use std::borrow::Cow;
use std::fmt;

use zimg_text::shell_word;

/// How much of a file is looked at.
pub(crate) const HEAD: u64 = 512;

/// Contents that are something else than a file's name promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A Git LFS pointer; the length of the file that it stands for, if it says so.
    LfsPointer(Option<u64>),
    /// HTML or XML: a page to log in, or an error of a server.
    WebPage,
    /// JSON or other text in place of weights, with its beginning.
    Text(String),
    /// A PyTorch pickle or an archive of pickles.
    Pickle,
    /// An SQLite database, in which Draw Things keeps models.
    Sqlite,
    /// An archive or a compressed file, with its kind.
    Archive(&'static str),
    /// Nothing.
    Empty,
    /// Zeros, as an interrupted download leaves that had reserved its space.
    Zeros,
    /// JSON that begins with a byte order mark, which the reference does not read either.
    ByteOrderMark,
    /// Text in UTF-16, as `>` of Windows PowerShell writes it: the encoding as iconv names it.
    Utf16(&'static str),
}

/// Beginnings of files, and what they are.
const MAGIC: [(&[u8], Content); 9] = [
    (b"SQLite format 3\0", Content::Sqlite),
    (b"PK\x03\x04", Content::Pickle),
    (b"\x80\x02", Content::Pickle),
    (b"\x80\x03", Content::Pickle),
    (b"\x80\x04", Content::Pickle),
    (b"\x1f\x8b", Content::Archive("gzip")),
    (b"\x28\xb5\x2f\xfd", Content::Archive("zstd")),
    (b"7z\xbc\xaf\x27\x1c", Content::Archive("7-Zip")),
    (b"Rar!", Content::Archive("RAR")),
];

impl Content {
    /// What stands in the place of weights, if it is not weights in any known format.
    ///
    /// A safetensors file begins with its header's length, of which at least the last four bytes are
    /// zero, and a GGUF file with its name.
    pub(crate) fn instead_of_weights(head: &[u8], len: u64) -> Option<Self> {
        if len == 0 {
            return Some(Self::Empty);
        }
        if head.len() as u64 == HEAD.min(len) && head.len() >= 16 && head.iter().all(|b| *b == 0) {
            return Some(Self::Zeros);
        }
        let known = head.get(4..9).is_some_and(|rest| rest[..4] == [0; 4] && rest[4] == b'{');
        if known || head.starts_with(b"GGUF") {
            return None;
        }
        // POSIX.1-1988, `tar.h`.
        if head.get(257..262) == Some(b"ustar") {
            return Some(Self::Archive("tar"));
        }
        if let Some((_, content)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Some(content.clone());
        }
        Self::text(head).or_else(|| {
            let text = printable(head)?;
            (text.len() >= 16 || len < 16 && text.len() as u64 == len)
                .then(|| Self::Text(text.chars().take(60).collect()))
        })
    }

    /// What stands in the place of JSON, if it is not JSON.
    pub(crate) fn instead_of_json(head: &[u8]) -> Option<Self> {
        match head {
            [] => Some(Self::Empty),
            _ if head.starts_with(b"\xef\xbb\xbf") => Some(Self::ByteOrderMark),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Self::Utf16("UTF-16")),
            [b'{' | b'[', 0, ..] => Some(Self::Utf16("UTF-16LE")),
            [0, b'{' | b'[', ..] => Some(Self::Utf16("UTF-16BE")),
            _ if head.len() >= 16 && head.iter().all(|byte| *byte == 0) => Some(Self::Zeros),
            _ => Self::text(head),
        }
    }

    /// Texts that any file may turn out to be.
    fn text(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with("version https://git-lfs") {
            let size =
                text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok());
            return Some(Self::LfsPointer(size));
        }
        text.starts_with('<').then_some(Self::WebPage)
    }

    /// What to do about it in this file.
    pub(crate) fn hint(&self, file: &str) -> Cow<'static, str> {
        let file = shell_word(file);
        Cow::Borrowed(match self {
            Self::LfsPointer(_) => {
                "run `git lfs install` and `git lfs pull` in the repository's folder"
            }
            Self::WebPage => {
                "download it again: log in first, or accept the model's terms on its page"
            }
            Self::Text(_) => "download it again: the server answered with a text",
            Self::Pickle => {
                "pickles can run code and are not read: take the .safetensors or GGUF file of this model"
            }
            Self::Sqlite => {
                "it may be a model of Draw Things, which is not read: take the .safetensors or GGUF file of this model"
            }
            Self::Archive(_) => "unpack it",
            Self::Empty | Self::Zeros => "download it again",
            Self::ByteOrderMark => {
                return format!("remove the mark: `sed -i '1s/^\\xEF\\xBB\\xBF//' {file}`").into();
            }
            Self::Utf16(encoding) => {
                return format!(
                    "convert it: `iconv -f {encoding} -t UTF-8 {file} >utf-8.json && mv utf-8.json \
                     {file}`"
                )
                .into();
            }
        })
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LfsPointer(Some(bytes)) => {
                write!(f, "a Git LFS pointer to {bytes} bytes, and not the file itself")
            }
            Self::LfsPointer(None) => f.write_str("a Git LFS pointer, and not the file itself"),
            Self::WebPage => f.write_str("a web page"),
            Self::Text(text) => write!(f, "a text and not weights; it begins with {text:?}"),
            Self::Pickle => f.write_str("a PyTorch pickle"),
            Self::Sqlite => f.write_str("an SQLite database"),
            Self::Archive(kind) => write!(f, "a {kind} archive"),
            Self::Empty => f.write_str("empty"),
            Self::Zeros => f.write_str("filled with zeros: its download was interrupted"),
            Self::ByteOrderMark => {
                f.write_str("JSON with a byte order mark (U+FEFF) before it, which JSON forbids")
            }
            Self::Utf16(_) => f.write_str("UTF-16 text, expected UTF-8"),
        }
    }
}

/// The printable ASCII that a file begins with.
fn printable(head: &[u8]) -> Option<&str> {
    let end = head
        .iter()
        .position(|byte| !(byte.is_ascii_graphic() || byte.is_ascii_whitespace()))
        .unwrap_or(head.len());
    std::str::from_utf8(&head[..end]).ok().map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(head: &[u8]) -> Option<Content> {
        Content::instead_of_weights(head, head.len() as u64)
    }

    #[test]
    fn what_is_saved_as_weights_is_recognised() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 335304388\n";
        let json = br#"{"error":"Access to model X is restricted."}"#;
        let cases: [(&[u8], Content); 13] = [
            (pointer, Content::LfsPointer(Some(335_304_388))),
            (b"version https://git-lfs.github.com/spec/v1\n", Content::LfsPointer(None)),
            (b"<!DOCTYPE html><title>Sign in</title>", Content::WebPage),
            (b"\n  <html lang=en>", Content::WebPage),
            (b"\xef\xbb\xbf<?xml version='1.0'?><Error>", Content::WebPage),
            (json, Content::Text(String::from_utf8(json.to_vec()).unwrap())),
            (b"Entry not found", Content::Text("Entry not found".to_owned())),
            (b"PK\x03\x04\0\0\x08\x08archive/data.pkl", Content::Pickle),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", Content::Pickle),
            (b"SQLite format 3\0\x10\0\x01\x01", Content::Sqlite),
            (b"\x1f\x8b\x08\0\0\0\0\0", Content::Archive("gzip")),
            (b"", Content::Empty),
            (&[0; 64], Content::Zeros),
        ];
        for (bytes, content) in cases {
            assert_eq!(weights(bytes), Some(content), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn weights_are_weights() {
        let header = b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"}}";
        for bytes in [&header[..], b"GGUF\x03\0\0\0\0\0\0\0", b"\xff\xff\x01\0\0\0\0\0{\"a\""] {
            assert_eq!(weights(bytes), None, "{}", bytes.escape_ascii());
        }
        // Damaged, but not recognised: the format's own reader says how.
        for bytes in [&b"\xff\xff\xff\xff\xff\xff\xff\xff{\"a\""[..], b"\x09\0\0"] {
            assert_eq!(weights(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_saved_as_json_is_recognised() {
        let cases: [(&[u8], Option<Content>); 10] = [
            (b"{}", None),
            (b"", Some(Content::Empty)),
            (b"\xef\xbb\xbf{}", Some(Content::ByteOrderMark)),
            (b"\xff\xfe{\0}\0", Some(Content::Utf16("UTF-16"))),
            (b"\xfe\xff\0{\0}", Some(Content::Utf16("UTF-16"))),
            (b"{\0\n\0", Some(Content::Utf16("UTF-16LE"))),
            (b"\0{\0\n", Some(Content::Utf16("UTF-16BE"))),
            (
                b"version https://git-lfs.github.com/spec/v1\nsize 7",
                Some(Content::LfsPointer(Some(7))),
            ),
            (b"<html>", Some(Content::WebPage)),
            (b"nonsense", None),
        ];
        for (bytes, content) in cases {
            assert_eq!(Content::instead_of_json(bytes), content, "{}", bytes.escape_ascii());
        }
    }
}
