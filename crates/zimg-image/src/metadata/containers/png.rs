//! Text chunks of a PNG file, to its end: before and after the pixels, which are not decoded.

use std::io::Read;

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::{FileTexts, TEXT_MAX, encoding, exif, split_at_nul, xmp};

/// How a file begins.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";
/// How ImageMagick's keywords for EXIF, XMP and others in hexadecimal begin.
const RAW_PROFILE: &str = "Raw profile type ";
const XMP_IDENTIFIER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// The texts of the chunks after the signature, up to IEND or where the file breaks off.
pub(super) fn read(mut rest: &[u8], texts: &mut FileTexts) {
    while let Some(chunk) = Chunk::first(rest) {
        let Chunk { kind, data, after, .. } = chunk;
        rest = after;
        if kind == b"IEND" {
            break;
        }
        if let (b"IHDR", [w0, w1, w2, w3, h0, h1, h2, h3, ..]) = (kind, data) {
            let (width, height) = ([*w0, *w1, *w2, *w3], [*h0, *h1, *h2, *h3]);
            texts.size = Some((u32::from_be_bytes(width), u32::from_be_bytes(height)));
        }
        if !matches!(kind, b"tEXt" | b"zTXt" | b"iTXt" | b"eXIf") || !chunk.is_sound() {
            continue;
        }
        if kind == b"eXIf" {
            exif::read(data, texts);
        } else if let Some((keyword, bytes)) = text(kind, data, texts) {
            let keyword: String = keyword.iter().copied().map(char::from).collect();
            let text = encoding::eight_bit(&bytes);
            if let Some(profile) = keyword.strip_prefix(RAW_PROFILE) {
                raw_profile(profile, &text, texts);
            } else if keyword == XMP_KEYWORD {
                xmp::read(&text, texts);
            } else {
                texts.add(&keyword, &text);
            }
        }
    }
}

/// A chunk, and what is after it.
struct Chunk<'a> {
    kind: &'a [u8; 4],
    data: &'a [u8],
    checksum: u32,
    after: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (data, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (checksum, after) = rest.split_first_chunk::<4>()?;
        Some(Self { kind, data, checksum: u32::from_be_bytes(*checksum), after })
    }

    /// A text with a wrong checksum is damaged, and would be another prompt.
    fn is_sound(&self) -> bool {
        let mut crc = Crc::new();
        crc.update(self.kind);
        crc.update(self.data);
        crc.sum() == self.checksum
    }
}

/// Keyword and bytes of a text chunk, decompressed.
fn text<'a>(kind: &[u8; 4], data: &'a [u8], texts: &mut FileTexts) -> Option<(&'a [u8], Vec<u8>)> {
    let (keyword, rest) = split_at_nul(data)?;
    let (compressed, bytes) = match kind {
        b"zTXt" => (true, rest.strip_prefix(&[0])?),
        b"iTXt" => {
            let (head, rest) = rest.split_first_chunk::<2>()?;
            let (_language, rest) = split_at_nul(rest)?;
            let (_translated, bytes) = split_at_nul(rest)?;
            (head[0] != 0, bytes)
        }
        _ => (false, rest),
    };
    // Before it is decompressed its length is not known.
    if !texts.admits(if compressed { TEXT_MAX } else { bytes.len() }) {
        return None;
    }
    if !compressed {
        return (bytes.len() <= TEXT_MAX).then(|| (keyword, bytes.to_vec()));
    }
    let mut text = Vec::new();
    ZlibDecoder::new(bytes).take(TEXT_MAX as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= TEXT_MAX).then_some((keyword, text))
}

/// A profile in hexadecimal: a line with its name, one with its length, and the digits.
fn raw_profile(name: &str, text: &str, texts: &mut FileTexts) {
    let mut words = text.split_ascii_whitespace().skip(2).flat_map(str::bytes);
    let mut bytes = Vec::new();
    while let (Some(high), Some(low)) = (words.next().and_then(digit), words.next().and_then(digit))
    {
        bytes.push(high << 4 | low);
    }
    if let Some(packet) = bytes.strip_prefix(XMP_IDENTIFIER) {
        xmp::read(&encoding::eight_bit(packet), texts);
    } else if name.eq_ignore_ascii_case("xmp") {
        xmp::read(&encoding::eight_bit(&bytes), texts);
    } else if name.eq_ignore_ascii_case("exif") || name.eq_ignore_ascii_case("APP1") {
        exif::read(&bytes, texts);
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
