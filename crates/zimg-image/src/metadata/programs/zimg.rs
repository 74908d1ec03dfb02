//! zimg's own note: the metadata as JSON.

use super::{MetadataWriter, Reading, UnreadMetadata, a1111};
use crate::metadata::containers::{FileTexts, field};
use crate::metadata::generation::GenerationMetadata;
use crate::metadata::keywords::{JSON_KEYWORD, MAKER_NOTE, PARAMETERS_KEYWORD};

/// The note. The text of the same image is as in the file, or in other programs' unit if zimg 0.1
/// wrote it in its own.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let mut notes = texts.with(field::MAKER_NOTE).filter_map(|note| {
        let note = note.strip_prefix(MAKER_NOTE.trim_end())?;
        note.strip_prefix(['\0', ' '])
    });
    let size = texts.size();
    let note = texts.get(JSON_KEYWORD).or(notes.next_back())?;
    let metadata = GenerationMetadata::from_json(note).ok_or(UnreadMetadata::Malformed);
    let texts = [PARAMETERS_KEYWORD, field::USER_COMMENT].map(|keyword| texts.get(keyword));
    let text = texts.into_iter().flatten().next();
    let beside = text.and_then(|text| a1111::parse(text, size));
    match (metadata, beside) {
        // A damaged note; the text may say it all the same.
        (Err(_), Some(reading)) if reading.writer == MetadataWriter::Zimg => Some(reading),
        (metadata, _) => {
            let text = match (&metadata, text) {
                (Ok(metadata), Some(text)) if metadata.is_of_old_unit(text) => {
                    metadata.to_parameters()
                }
                (_, Some(text)) => text.to_owned(),
                (Ok(metadata), None) => metadata.to_parameters(),
                (Err(_), None) => note.to_owned(),
            };
            Some(Reading { writer: MetadataWriter::Zimg, text, metadata })
        }
    }
}
