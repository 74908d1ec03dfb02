//! Why files are no images to start from, in sentences that begin with the file's name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{MEMORY_MAX, PIXELS_MAX, TIME_MAX};
use crate::file_kind::FileKind;

/// Which file a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputRole {
    /// The initial image.
    Initial,
    /// The mask.
    Mask,
}

/// A file with a fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputError {
    /// The file.
    pub role: InputRole,
    /// What is wrong with it.
    pub fault: InputFault,
}

/// What is wrong with a file. As text it goes on after the file's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum InputFault {
    /// A kind of file that is not read.
    Unread(FileKind),
    /// No kind of file that is known.
    Unknown,
    /// The decoder's sentence.
    Damaged(String),
    /// It has more pixels than are read.
    TooManyPixels(u32, u32),
    /// Decoding takes more memory than it may.
    Memory,
    /// Decoding takes longer than it may.
    Time,
    /// The decoder ended in an unexpected way: this one.
    Ended(String),
    /// Margins beside which next to nothing would be the image.
    Margins(u32, u32),
    /// A size that cannot be generated.
    Size(u32, u32),
    /// An alpha channel is asked for, and there is none, or it is opaque.
    Opaque,
    /// A mask with colours and transparency, of which either may be meant.
    ColouredMask,
    /// A mask of another shape than the image: both sizes.
    MaskSize((u32, u32), (u32, u32)),
}

/// The kinds that are read, in a sentence.
const READ: &str = "PNG, JPEG, WebP, GIF, TIFF, BMP or PNM";

impl InputError {
    pub(super) fn initial(fault: InputFault) -> Self {
        Self { role: InputRole::Initial, fault }
    }

    pub(super) fn mask(fault: InputFault) -> Self {
        Self { role: InputRole::Mask, fault }
    }
}

/// The longest sentence of a decoder that is repeated, in characters.
const DECODER_WORDS_MAX: usize = 200;

impl InputFault {
    /// What a decoder says, in one line: some end theirs with line breaks, or repeat the file.
    pub(super) fn damaged(why: impl fmt::Display) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let words: String = why.to_string().chars().map(plain).collect();
        let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Damaged(line.chars().take(DECODER_WORDS_MAX).collect())
    }

    /// What to do about it. `file` is the name as a shell takes it.
    pub fn hint(&self, file: &str) -> Option<String> {
        let convert = |command: &str| Some(format!("convert it, with `{command}`"));
        match self {
            Self::Unread(FileKind::Heic) => convert(&format!("heif-convert {file} image.png")),
            Self::Unread(FileKind::Avif) => convert(&format!("avifdec {file} image.png")),
            Self::Unread(FileKind::JpegXl) => convert(&format!("djxl {file} image.png")),
            Self::Unread(FileKind::CameraRaw) => {
                Some("develop it with a program for raw files, and save it as TIFF".to_owned())
            }
            Self::Unread(FileKind::Svg) => convert(&format!("rsvg-convert {file} -o image.png")),
            Self::Unread(FileKind::Pdf) => {
                convert(&format!("pdftoppm -png -singlefile {file} image"))
            }
            Self::Unread(FileKind::Video) => {
                convert(&format!("ffmpeg -i {file} -frames:v 1 image.png"))
            }
            Self::Unread(_) => convert(&format!("magick {file}'[0]' image.png")),
            Self::Unknown => Some(format!("an image to start from is {READ}")),
            Self::Damaged(_) | Self::Ended(_) => Some(
                "use another copy of the file, or save it again with another program".to_owned(),
            ),
            Self::TooManyPixels(..) | Self::Memory | Self::Time => {
                Some("make it smaller first: what is generated has at most 2048x2048".to_owned())
            }
            Self::Margins(..) => Some("give smaller margins".to_owned()),
            Self::Size(..) => Some("give another size".to_owned()),
            Self::Opaque => Some("give the mask as a file, with --mask FILE".to_owned()),
            Self::ColouredMask => Some(
                "save a mask as white on black; to change the transparent parts of an image, give \
                 it with --init and without --mask"
                    .to_owned(),
            ),
            Self::MaskSize(..) => {
                Some("make it from the image itself, or crop it alike".to_owned())
            }
        }
    }
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(kind) => write!(f, "is {}, expected {READ}", kind.name()),
            Self::Unknown => write!(f, "is not an image, expected {READ}"),
            Self::Damaged(why) => write!(f, "cannot be decoded: {why}"),
            Self::TooManyPixels(width, height) => write!(
                f,
                "is {width}x{height}, expected at most {} million pixels",
                PIXELS_MAX / 1_000_000
            ),
            Self::Memory => write!(
                f,
                "takes more memory to decode than the {} MiB that it may",
                MEMORY_MAX >> 20
            ),
            Self::Time => {
                write!(f, "takes longer to decode than the {} s that it may", TIME_MAX.as_secs())
            }
            Self::Ended(how) => write!(f, "cannot be decoded: its decoder ended with {how}"),
            Self::Margins(width, height) => write!(
                f,
                "is {width}x{height} with its margins, of which less than 16 pixels would be the \
                 image"
            ),
            Self::Size(width, height) => write!(
                f,
                "is to be {width}x{height}, expected sides that are multiples of 16 from 64 to 2048"
            ),
            Self::Opaque => f.write_str("has no transparent parts to be the mask"),
            Self::ColouredMask => {
                f.write_str("has colours and transparent parts, expected a mask in white and black")
            }
            Self::MaskSize((width, height), (w, h)) => {
                write!(f, "is {width}x{height}, expected the image's size, {w}x{h}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_decoder_says_is_one_short_line() {
        let said = |why: &str| InputFault::damaged(why).to_string();
        assert_eq!(
            said("no bytes,\n\texpected 1\0\n\n"),
            "cannot be decoded: no bytes, expected 1"
        );
        assert_eq!(said(&"é".repeat(999)).chars().count(), 200 + "cannot be decoded: ".len());
    }
}
