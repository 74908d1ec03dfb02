//! EXIF and XMP chunks of a WebP file
//! (<https://developers.google.com/speed/webp/docs/riff_container>).

use super::{FileTexts, LostText, encoding, exif, xmp};

/// The texts of the chunks after the file's head.
pub(super) fn read(mut rest: &[u8], texts: &mut FileTexts) {
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [kind @ .., a, b, c, d] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > after.len() {
            texts.lose(LostText::Cut);
        }
        let (data, after) = after.split_at(length.min(after.len()));
        match &kind {
            b"EXIF" => exif::read(data, texts),
            b"VP8X" | b"VP8L" | b"VP8 " => texts.size = size(&kind, data).or(texts.size),
            b"XMP " => xmp::read(&encoding::unlabelled(data), texts),
            _ => {}
        }
        // Chunks have even lengths.
        rest = after.get(length % 2..).unwrap_or_default();
    }
}

/// Width and height from the head of an extended, a lossless or a lossy image.
fn size(kind: &[u8; 4], data: &[u8]) -> Option<(u32, u32)> {
    let side = |at: usize| Some(u32::from(u16::from_le_bytes(*data.get(at..)?.first_chunk()?)));
    match kind {
        b"VP8X" => {
            let side = |at: usize| Some(side(at)? + (u32::from(*data.get(at + 2)?) << 16) + 1);
            Some((side(4)?, side(7)?))
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(*data.get(1..)?.first_chunk()?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => Some((side(6)? & 0x3fff, side(8)? & 0x3fff)),
    }
}
