//! EXIF blocks of JPEG and WebP files: the parameters text as UserComment, the JSON as MakerNote.

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Field, In, Reader, Tag, Value};

use super::generation::GenerationMetadata;

/// What a JPEG has room for in one segment, less its own head.
pub(crate) const SEGMENT_MAX: usize = 65_533 - "Exif\0\0".len();
/// How a comment in UTF-16 begins (EXIF 2.3, 4.6.5).
const UNICODE: &[u8; 8] = b"UNICODE\0";
/// Whose note it is.
const OURS: &[u8; 5] = b"zimg\0";

/// The EXIF block of a metadata; without the comment if it would be longer than `max`, and none if
/// even the note is.
pub(crate) fn of(metadata: &GenerationMetadata, max: usize) -> Option<Vec<u8>> {
    let text = metadata.to_parameters();
    let comment = UNICODE.iter().copied().chain(text.encode_utf16().flat_map(u16::to_be_bytes));
    let field = |tag, bytes| Field { tag, ifd_num: In::PRIMARY, value: Value::Undefined(bytes, 0) };
    let comment = field(Tag::UserComment, comment.collect());
    let note = field(Tag::MakerNote, [OURS, metadata.to_json().as_bytes()].concat());
    [&[&note, &comment][..], &[&note]].into_iter().find_map(|fields| {
        let mut writer = Writer::new();
        fields.iter().for_each(|field| writer.push_field(field));
        let mut bytes = Cursor::new(Vec::new());
        // Big endian, so that readers which look at the file's order read the comment too.
        writer.write(&mut bytes, false).ok()?;
        Some(bytes.into_inner()).filter(|bytes| bytes.len() <= max)
    })
}

/// The comment and the note of a JPEG or WebP file's bytes.
pub(super) fn read(bytes: &[u8]) -> (Option<String>, Option<GenerationMetadata>) {
    let Ok(exif) = Reader::new().read_from_container(&mut Cursor::new(bytes)) else {
        return (None, None);
    };
    let undefined = |tag| match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Undefined(bytes, _) => Some(bytes.as_slice()),
        _ => None,
    };
    let note = undefined(Tag::MakerNote).and_then(|note| note.strip_prefix(OURS));
    let metadata = note.and_then(|json| GenerationMetadata::from_json(str::from_utf8(json).ok()?));
    let comment =
        undefined(Tag::UserComment).and_then(|bytes| comment(bytes, exif.little_endian()));
    (comment, metadata)
}

fn comment(bytes: &[u8], little_endian: bool) -> Option<String> {
    if let Some(ascii) = bytes.strip_prefix(b"ASCII\0\0\0") {
        return String::from_utf8(ascii.to_vec()).ok();
    }
    let units = |unit: fn([u8; 2]) -> u16| {
        let pairs = bytes.strip_prefix(UNICODE)?.chunks_exact(2);
        String::from_utf16(&pairs.map(|pair| unit([pair[0], pair[1]])).collect::<Vec<_>>()).ok()
    };
    // Programs disagree on the order of a comment's bytes in a little endian file.
    let big = units(u16::from_be_bytes);
    let swapped = big.as_deref().is_none_or(|text| !text.contains("Steps: "));
    if little_endian || swapped {
        units(u16::from_le_bytes).filter(|t| t.contains("Steps: ")).or(big)
    } else {
        big
    }
}

#[cfg(test)]
mod tests {
    use super::super::generation::tests::metadata;
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_from_the_end() {
        let whole = of(&metadata(), usize::MAX).unwrap();
        assert_eq!(of(&metadata(), whole.len()), Some(whole.clone()));
        let less = of(&metadata(), whole.len() - 1).unwrap();
        assert!(less.len() < whole.len());
        assert_eq!(of(&metadata(), less.len() - 1), None);
    }

    #[test]
    fn comments_are_read_in_either_order() {
        let text = "ein Fuchs ❄\nSteps: 8";
        let coded = |unit: fn(u16) -> [u8; 2]| {
            UNICODE.iter().copied().chain(text.encode_utf16().flat_map(unit)).collect::<Vec<_>>()
        };
        for little in [false, true] {
            assert_eq!(comment(&coded(u16::to_be_bytes), little).as_deref(), Some(text));
            assert_eq!(comment(&coded(u16::to_le_bytes), little).as_deref(), Some(text));
        }
        assert_eq!(comment(b"ASCII\0\0\0a", false).as_deref(), Some("a"));
        assert_eq!(comment(b"x", false), None);
    }
}
