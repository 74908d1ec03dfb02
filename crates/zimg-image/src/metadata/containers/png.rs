//! Text chunks of a PNG file, to its end: before and after the pixels, which are not decoded.

use std::io::Read;

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::{FileTexts, LostText, MetadataDoubt, TEXT_MAX, encoding, exif, split_at_nul, xmp};

/// How a file begins.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";
/// How ImageMagick's keywords for EXIF, XMP and others in hexadecimal begin.
const RAW_PROFILE: &str = "Raw profile type ";
const XMP_IDENTIFIER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// The texts of the chunks after the signature: up to IEND, and in doubt what is behind it.
pub(super) fn read(mut rest: &[u8], texts: &mut FileTexts) {
    let mut ended = false;
    while let Some(chunk) = Chunk::first(rest) {
        let Chunk { kind, data, after, .. } = chunk;
        rest = after;
        ended |= kind == b"IEND";
        if let (b"IHDR", [w0, w1, w2, w3, h0, h1, h2, h3, ..], false) = (kind, data, ended) {
            let (width, height) = ([*w0, *w1, *w2, *w3], [*h0, *h1, *h2, *h3]);
            texts.size = Some((u32::from_be_bytes(width), u32::from_be_bytes(height)));
        }
        if !matches!(kind, b"tEXt" | b"zTXt" | b"iTXt" | b"eXIf") {
            continue;
        }
        texts.doubt = match (chunk.is_sound(), ended) {
            (true, false) => None,
            (false, false) => Some(MetadataDoubt::Checksum),
            (true, true) => Some(MetadataDoubt::BehindEnd),
            // What another file left there, or no chunk at all.
            (false, true) => continue,
        };
        read_chunk(kind, data, texts);
        if texts.doubt == Some(MetadataDoubt::Checksum) {
            texts.lose(LostText::Checksum(keyword_of(kind, data)));
        }
    }
    texts.doubt = None;
    if !ended {
        texts.lose(LostText::Cut);
    }
}

fn read_chunk(kind: &[u8; 4], data: &[u8], texts: &mut FileTexts) {
    if kind == b"eXIf" {
        return exif::read(data, texts);
    }
    let Some((keyword, bytes)) = text(kind, data, texts) else { return };
    let keyword: String = keyword.iter().copied().map(char::from).collect();
    let text = encoding::unlabelled(&bytes);
    if let Some(profile) = keyword.strip_prefix(RAW_PROFILE) {
        raw_profile(profile, &text, texts);
    } else if keyword == XMP_KEYWORD {
        xmp::read(&text, texts);
    } else {
        texts.add(&keyword, &text);
    }
}

/// The name of a chunk's text in sentences.
fn keyword_of(kind: &[u8; 4], data: &[u8]) -> String {
    match split_at_nul(data) {
        Some((keyword, _)) if kind != b"eXIf" => LostText::keyword(keyword),
        _ => LostText::keyword(kind),
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

    /// Whether the checksum is right.
    fn is_sound(&self) -> bool {
        let mut crc = Crc::new();
        crc.update(self.kind);
        crc.update(self.data);
        crc.sum() == self.checksum
    }
}

/// Keyword and bytes of a text chunk, decompressed.
fn text<'a>(kind: &[u8; 4], data: &'a [u8], texts: &mut FileTexts) -> Option<(&'a [u8], Vec<u8>)> {
    let Some((keyword, is_compressed, bytes)) = parts(kind, data) else {
        texts.lose(LostText::Damaged(keyword_of(kind, data)));
        return None;
    };
    // Before it is decompressed its length is not known.
    if !texts.admits(if is_compressed { TEXT_MAX } else { bytes.len() }) {
        return None;
    }
    let mut text = Vec::new();
    if !is_compressed {
        text.extend(&bytes[..bytes.len().min(TEXT_MAX + 1)]);
    } else if ZlibDecoder::new(bytes).take(TEXT_MAX as u64 + 1).read_to_end(&mut text).is_err() {
        texts.lose(LostText::Damaged(keyword_of(kind, data)));
        return None;
    }
    if text.len() > TEXT_MAX {
        texts.lose(LostText::TooLong(keyword_of(kind, data)));
        return None;
    }
    Some((keyword, text))
}

/// Keyword, whether the text is compressed, and its bytes.
fn parts<'a>(kind: &[u8; 4], data: &'a [u8]) -> Option<(&'a [u8], bool, &'a [u8])> {
    let (keyword, rest) = split_at_nul(data)?;
    match kind {
        b"zTXt" => Some((keyword, true, rest.strip_prefix(&[0])?)),
        b"iTXt" => {
            let (head, rest) = rest.split_first_chunk::<2>()?;
            let (_language, rest) = split_at_nul(rest)?;
            let (_translated, bytes) = split_at_nul(rest)?;
            Some((keyword, head[0] != 0, bytes))
        }
        _ => Some((keyword, false, rest)),
    }
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
        xmp::read(&encoding::unlabelled(packet), texts);
    } else if name.eq_ignore_ascii_case("xmp") {
        xmp::read(&encoding::unlabelled(&bytes), texts);
    } else if name.eq_ignore_ascii_case("exif") || name.eq_ignore_ascii_case("APP1") {
        exif::read(&bytes, texts);
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
