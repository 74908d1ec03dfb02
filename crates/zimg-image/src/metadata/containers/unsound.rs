//! What is wrong with the texts of a file: those that are read nevertheless, and those that are not.

use std::fmt;

use super::{COUNT_MAX, TEXT_MAX, TOTAL_MAX};

/// The longest keyword in a sentence, which is also PNG's.
const KEYWORD_MAX: usize = 79;

/// Why a text is read that may not say how the image was made.
///
/// Other readers differ: exiftool reads both kinds, libpng drops a text with a wrong checksum and
/// what is behind the end, and Pillow refuses the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataDoubt {
    /// The checksum is not the text's: it was damaged, or edited by a program that left the checksum.
    Checksum,
    /// It is behind the end of the image: it was appended, or is what a shorter file left of another.
    BehindEnd,
}

impl MetadataDoubt {
    pub(in super::super) const ALL: [Self; 2] = [Self::Checksum, Self::BehindEnd];
}

impl fmt::Display for MetadataDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "the checksum of its metadata is wrong: it was damaged or edited",
            Self::BehindEnd => {
                "its metadata is behind the end of the image: it may be of another image"
            }
        })
    }
}

/// A text that is there and is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostText {
    /// It is longer than any metadata, perhaps when it is decompressed.
    TooLong(String),
    /// It cannot be decompressed.
    Damaged(String),
    /// Its checksum is wrong, and it is nothing that is understood.
    Checksum(String),
    /// All texts together are too many or too long.
    TooMuch,
    /// The file ends before the image does.
    Cut,
}

impl LostText {
    /// The keyword as sentences have it.
    pub(super) fn keyword(bytes: &[u8]) -> String {
        bytes.iter().take(KEYWORD_MAX).copied().map(char::from).collect()
    }
}

impl fmt::Display for LostText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(keyword) => {
                write!(f, "its text `{keyword}` is longer than {} MiB", TEXT_MAX >> 20)
            }
            Self::Damaged(keyword) => {
                write!(f, "its text `{keyword}` is damaged and cannot be decompressed")
            }
            Self::Checksum(keyword) => {
                write!(f, "its text `{keyword}` is damaged: the checksum is wrong")
            }
            Self::TooMuch => write!(
                f,
                "it has more text than is read: {COUNT_MAX} texts, {} MiB in all",
                TOTAL_MAX >> 20
            ),
            Self::Cut => f.write_str("the file is cut: it ends before the image does"),
        }
    }
}
