//! EXIF blocks that are written into JPEG and WebP files: the parameters text as UserComment, the
//! JSON as MakerNote, which other programs take for text.

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Field, In, Tag, Value};

use super::generation::GenerationMetadata;
use super::keywords::MAKER_NOTE;

/// What a JPEG has room for in one segment, less its own head.
pub(crate) const SEGMENT_MAX: usize = 65_533 - "Exif\0\0".len();
/// How a comment in UTF-16 begins (EXIF 2.3, 4.6.5).
const UNICODE: &[u8; 8] = b"UNICODE\0";

/// The EXIF block of a metadata; without the comment if it would be longer than `max`, and none if
/// even the note is.
pub(crate) fn of(metadata: &GenerationMetadata, max: usize) -> Option<Vec<u8>> {
    let text = metadata.to_parameters();
    let comment = UNICODE.iter().copied().chain(text.encode_utf16().flat_map(u16::to_be_bytes));
    let field = |tag, bytes| Field { tag, ifd_num: In::PRIMARY, value: Value::Undefined(bytes, 0) };
    let comment = field(Tag::UserComment, comment.collect());
    let note = |json: String| field(Tag::MakerNote, format!("{MAKER_NOTE}{json}").into_bytes());
    let (ascii, utf8) = (note(metadata.to_ascii_json()), note(metadata.to_json()));
    [&[&ascii, &comment][..], &[&ascii], &[&utf8]].into_iter().find_map(|fields| {
        let mut writer = Writer::new();
        fields.iter().for_each(|field| writer.push_field(field));
        let mut bytes = Cursor::new(Vec::new());
        // Big endian, so that readers which look at the file's order read the comment too.
        writer.write(&mut bytes, false).ok()?;
        Some(bytes.into_inner()).filter(|bytes| bytes.len() <= max)
    })
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
        // UTF-8 is shorter than ASCII where a prompt has other letters.
        let least = of(&metadata(), less.len() - 1).unwrap();
        assert!(least.len() < less.len());
        assert_eq!(of(&metadata(), least.len() - 1), None);
    }
}
