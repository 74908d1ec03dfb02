//! Encodings of texts in image files: decided by the bytes, since labels of type, byte order and
//! character code are often wrong.

use zimg_text::Encoding;

/// Labels of eight bytes before a comment (EXIF 2.3, 4.6.5), without their padding.
const LABELS: [&[u8]; 4] = [b"UNICODE", b"ASCII", b"JIS", b""];
const LABEL_BYTES: usize = 8;

/// The order of the bytes of UTF-16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Big,
    Little,
}

impl ByteOrder {
    fn unit(self, pair: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(pair),
            Self::Little => u16::from_le_bytes(pair),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Big => Self::Little,
            Self::Little => Self::Big,
        }
    }
}

/// As text comes in everywhere, and without NULs at the end.
pub(super) fn normalized(text: &str) -> String {
    zimg_text::normalized(text.trim_end_matches('\0')).into_owned()
}

/// A text of one byte a letter, or of UTF-8: UTF-8 where the bytes are, else Latin-1.
pub(super) fn eight_bit(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// A text whose place has an encoding of its own, mostly UTF-8 or Latin-1, which not all writers heed:
/// UTF-16 or UTF-32 where the bytes are, labelled as a comment or not.
pub(super) fn unlabelled(bytes: &[u8]) -> String {
    let content = without_label(bytes).1;
    let text = match Encoding::detect(content) {
        Some(encoding) => encoding.decode(content),
        None if content.len() < bytes.len() => Some(eight_bit(trimmed(content))),
        None => None,
    };
    text.unwrap_or_else(|| eight_bit(bytes))
}

/// A comment: with a label or without, in UTF-8, UTF-16 of either order, or Latin-1. `order` is the
/// file's, which decides where the bytes do not.
pub(super) fn comment(bytes: &[u8], order: ByteOrder) -> String {
    let (labelled_unicode, bytes) = without_label(bytes);
    if let Some(text) = marked(bytes) {
        return text;
    }
    // Zeros in every second place are the upper halves of Latin letters in UTF-16. What is padded
    // with zeros at its end has none before.
    let content = trimmed(bytes);
    let zeros = |first: usize| content.iter().skip(first).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if even + odd > 0 {
        let order = match even.cmp(&odd) {
            std::cmp::Ordering::Greater => ByteOrder::Big,
            std::cmp::Ordering::Less => ByteOrder::Little,
            std::cmp::Ordering::Equal => order,
        };
        return utf16(bytes, order).unwrap_or_else(|| eight_bit(content));
    }
    if let Ok(text) = str::from_utf8(content) {
        return text.to_owned();
    }
    // No Latin letter at all, such as Chinese without a space.
    let unicode = || utf16(bytes, order).or_else(|| utf16(bytes, order.other()));
    labelled_unicode.then(unicode).flatten().unwrap_or_else(|| eight_bit(content))
}

/// Whether the label says Unicode, and what is after it.
fn without_label(bytes: &[u8]) -> (bool, &[u8]) {
    let Some((label, rest)) = bytes.split_at_checked(LABEL_BYTES) else { return (false, bytes) };
    for name in LABELS {
        let padding = &label[name.len()..];
        if label[..name.len()].eq_ignore_ascii_case(name)
            && padding.iter().all(|byte| *byte == 0 || *byte == b' ' && !name.is_empty())
        {
            return (name == LABELS[0], rest);
        }
    }
    (false, bytes)
}

/// The text after a byte order mark.
fn marked(bytes: &[u8]) -> Option<String> {
    if let Some(text) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return Some(eight_bit(trimmed(text)));
    }
    let (order, units) = match bytes {
        [0xfe, 0xff, units @ ..] => (ByteOrder::Big, units),
        [0xff, 0xfe, units @ ..] => (ByteOrder::Little, units),
        _ => return None,
    };
    utf16(units, order)
}

/// A last byte without a partner is half of a letter whose zero was cut off, or padding.
fn utf16(bytes: &[u8], order: ByteOrder) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut units: Vec<u16> = pairs.iter().map(|pair| order.unit(*pair)).collect();
    if let ([last], ByteOrder::Little) = (rest, order) {
        units.push(u16::from(*last));
    }
    while units.last() == Some(&0) {
        units.pop();
    }
    String::from_utf16(&units).ok()
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ein Fuchs ❄\nSteps: 8";

    fn utf16_bytes(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    /// Every encoding with every label and in files of either order.
    #[test]
    fn the_bytes_decide_whatever_the_label() {
        let labels: [&[u8]; 7] = [
            b"UNICODE\0",
            b"Unicode\0",
            b"UNICODE ",
            b"ASCII\0\0\0",
            b"JIS\0\0\0\0\0",
            &[0; 8],
            b"",
        ];
        let marked = |unit: fn(u16) -> [u8; 2]| utf16_bytes(&format!("\u{feff}{TEXT}"), unit);
        let encodings = [
            TEXT.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", TEXT.as_bytes()].concat(),
            utf16_bytes(TEXT, u16::to_be_bytes),
            utf16_bytes(TEXT, u16::to_le_bytes),
            marked(u16::to_be_bytes),
            marked(u16::to_le_bytes),
        ];
        for label in labels {
            for encoded in &encodings {
                for order in [ByteOrder::Big, ByteOrder::Little] {
                    for padding in [0, 1, 2, 5] {
                        let bytes = [label, encoded, &vec![0; padding]].concat();
                        let read = comment(&bytes, order);
                        assert_eq!(read, TEXT, "{label:?} {encoded:?} {order:?} {padding}");
                    }
                }
            }
        }
    }

    #[test]
    fn text_without_latin_letters_is_read_by_its_label() {
        let text = "雪山日落";
        let big = [b"UNICODE\0".as_slice(), &utf16_bytes(text, u16::to_be_bytes)].concat();
        assert_eq!(comment(&big, ByteOrder::Big), text);
        let little = [b"UNICODE\0".as_slice(), &utf16_bytes(text, u16::to_le_bytes)].concat();
        assert_eq!(comment(&little, ByteOrder::Little), text);
        assert_eq!(comment(text.as_bytes(), ByteOrder::Big), text);
    }

    #[test]
    fn what_is_not_utf_8_is_latin_1() {
        assert_eq!(comment(b"ASCII\0\0\0caf\xe9", ByteOrder::Big), "café");
        assert_eq!(eight_bit(b"caf\xe9"), "café");
        assert_eq!(eight_bit("café テスト".as_bytes()), "café テスト");
        assert_eq!(normalized("\u{feff}a\r\nb\rc\n\0\0"), "a\nb\nc\n");
    }
}
