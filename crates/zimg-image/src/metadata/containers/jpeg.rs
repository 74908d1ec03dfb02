//! EXIF, XMP and comment segments of a JPEG file.

use super::{FileTexts, LostText, encoding, exif, field, split_at_nul, xmp};

/// How a file begins.
pub(super) const SIGNATURE: &[u8] = b"\xff\xd8\xff";
const XMP_IDENTIFIER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const APP1: u8 = 0xe1;
const COMMENT: u8 = 0xfe;

/// The texts of a file's segments, up to its end or where it breaks off.
pub(super) fn read(bytes: &[u8], texts: &mut FileTexts) {
    let mut rest = bytes.get(2..).unwrap_or_default();
    let mut is_whole = false;
    while let Some((marker, after)) = marker(rest) {
        rest = after;
        // Markers without a length: TEM, and restarts between the pixels.
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        is_whole |= marker == END || marker == SCAN;
        if marker == END {
            break;
        }
        let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
        let length = usize::from(u16::from_be_bytes(*length)).saturating_sub(2);
        let (data, after) = after.split_at(length.min(after.len()));
        rest = after;
        match marker {
            APP1 => {
                if let Some(packet) = data.strip_prefix(XMP_IDENTIFIER) {
                    xmp::read(&encoding::unlabelled(packet), texts);
                } else if data.starts_with(b"Exif\0") {
                    exif::read(data, texts);
                }
            }
            COMMENT => match split_at_nul(data) {
                // As stable-diffusion.cpp writes it: keyword and text, each with a NUL.
                Some((b"parameters", text)) => {
                    texts.add("parameters", &encoding::unlabelled(text));
                }
                _ => texts.add(field::COMMENT, &encoding::unlabelled(data)),
            },
            // The head of a frame; three of these numbers are of tables.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if let [_, h0, h1, w0, w1, ..] = *data {
                    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                    texts.size = Some((side(w0, w1), side(h0, h1)));
                }
            }
            SCAN => rest = after_scan(rest),
            _ => {}
        }
    }
    if !is_whole {
        texts.lose(LostText::Cut);
    }
}

/// A marker and what is after it; fill bytes before it are skipped.
fn marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(&[0xff])?;
    let at = rest.iter().position(|byte| *byte != 0xff)?;
    Some((rest[at], &rest[at + 1..]))
}

/// The first marker after the compressed pixels.
fn after_scan(bytes: &[u8]) -> &[u8] {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    bytes.windows(2).position(is_marker).map_or(&[], |at| &bytes[at..])
}
