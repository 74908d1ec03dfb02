//! Kinds of files, told by their first bytes: those that are read as images, and those that are named
//! when they are refused.

use serde::{Deserialize, Serialize};

/// A kind of file that is told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// PNG, animated or not.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
    /// GIF.
    Gif,
    /// TIFF; most cameras' raw files have the same first bytes.
    Tiff,
    /// BMP.
    Bmp,
    /// PBM, PGM, PPM or PAM.
    Pnm,
    /// AVIF.
    Avif,
    /// HEIC or HEIF, as phones write it.
    Heic,
    /// JPEG XL.
    JpegXl,
    /// JPEG 2000.
    Jpeg2000,
    /// A Photoshop document.
    Photoshop,
    /// OpenEXR.
    OpenExr,
    /// Radiance HDR.
    Hdr,
    /// A Windows icon.
    Ico,
    /// SVG.
    Svg,
    /// PDF.
    Pdf,
    /// A raw file of a camera that is no TIFF.
    CameraRaw,
    /// A GIMP document.
    Gimp,
    /// A video.
    Video,
}

/// The first bytes of each kind, and where they are.
const SIGNATURES: [(usize, &[u8], FileKind); 27] = [
    (0, b"\x89PNG\r\n\x1a\n", FileKind::Png),
    (0, b"\xff\xd8\xff", FileKind::Jpeg),
    (8, b"WEBP", FileKind::WebP),
    (0, b"GIF87a", FileKind::Gif),
    (0, b"GIF89a", FileKind::Gif),
    // The fifth byte of CR2 and the like is no other: they are told by what is inside.
    (0, b"II*\0", FileKind::Tiff),
    (0, b"MM\0*", FileKind::Tiff),
    (0, b"II+\0", FileKind::Tiff),
    (0, b"MM\0+", FileKind::Tiff),
    (0, b"\xff\x0a", FileKind::JpegXl),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", FileKind::JpegXl),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", FileKind::Jpeg2000),
    (0, b"\xff\x4f\xff\x51", FileKind::Jpeg2000),
    (0, b"8BPS", FileKind::Photoshop),
    (0, b"\x76\x2f\x31\x01", FileKind::OpenExr),
    (0, b"#?RADIANCE", FileKind::Hdr),
    (0, b"#?RGBE", FileKind::Hdr),
    (0, b"\0\0\x01\0", FileKind::Ico),
    (0, b"%PDF-", FileKind::Pdf),
    (0, b"<svg", FileKind::Svg),
    (0, b"gimp xcf ", FileKind::Gimp),
    (0, b"FUJIFILMCCD-RAW", FileKind::CameraRaw),
    (0, b"IIRO", FileKind::CameraRaw),
    (0, b"IIU\0", FileKind::CameraRaw),
    (0, b"\x1a\x45\xdf\xa3", FileKind::Video),
    (8, b"AVI ", FileKind::Video),
    (0, b"BM", FileKind::Bmp),
];

impl FileKind {
    /// The kind of a file with these first bytes; none if it is not known.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.get(4..8) == Some(b"ftyp") {
            return Self::of_brands(bytes);
        }
        let is_riff = bytes.starts_with(b"RIFF");
        let found = SIGNATURES.iter().find(|(at, signature, _)| {
            bytes.get(*at..).is_some_and(|rest| rest.starts_with(signature))
                && (*at == 0 || is_riff)
        });
        if let Some((.., kind)) = found {
            return Some(*kind);
        }
        if let [b'P', b'1'..=b'7', space, ..] = bytes
            && space.is_ascii_whitespace()
        {
            return Some(Self::Pnm);
        }
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
        let is_xml = head.trim_start_matches('\u{feff}').trim_start().starts_with("<?xml");
        (is_xml && head.contains("<svg")).then_some(Self::Svg)
    }

    /// The kind of a file of ISO's base media format, by its brands (ISO 23008-12, 10.2; AV1 Image
    /// File Format, 6).
    fn of_brands(bytes: &[u8]) -> Option<Self> {
        let length = bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let end = (length as usize).min(bytes.len()).min(256);
        let brands = bytes.get(8..end).unwrap_or(&bytes[8..]);
        // After the major brand is a version.
        let mut brands = brands.chunks_exact(4).enumerate().filter(|(at, _)| *at != 1);
        let mut heif = false;
        let found = brands.find_map(|(_, brand)| match brand {
            b"avif" | b"avis" => Some(Self::Avif),
            b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"hevx" => Some(Self::Heic),
            b"crx " => Some(Self::CameraRaw),
            b"jxl " => Some(Self::JpegXl),
            b"mif1" | b"msf1" => {
                heif = true;
                None
            }
            _ => None,
        });
        found.or(Some(if heif { Self::Heic } else { Self::Video }))
    }

    /// With an article, as in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "a PNG file",
            Self::Jpeg => "a JPEG file",
            Self::WebP => "a WebP file",
            Self::Gif => "a GIF file",
            Self::Tiff => "a TIFF file",
            Self::Bmp => "a BMP file",
            Self::Pnm => "a PNM file",
            Self::Avif => "an AVIF file",
            Self::Heic => "a HEIC file",
            Self::JpegXl => "a JPEG XL file",
            Self::Jpeg2000 => "a JPEG 2000 file",
            Self::Photoshop => "a Photoshop document",
            Self::OpenExr => "an OpenEXR file",
            Self::Hdr => "a Radiance HDR file",
            Self::Ico => "an icon",
            Self::Svg => "an SVG file",
            Self::Pdf => "a PDF file",
            Self::CameraRaw => "a camera's raw file",
            Self::Gimp => "a GIMP document",
            Self::Video => "a video",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_first_bytes() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], Some(FileKind::Png)),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Some(FileKind::Jpeg)),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Some(FileKind::WebP)),
            (b"RIFF\x24\0\0\0AVI LIST", Some(FileKind::Video)),
            (b"RIFF\x24\0\0\0WAVEfmt ", None),
            (b"1234567\0WEBP", None),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", Some(FileKind::Avif)),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", Some(FileKind::Avif)),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Some(FileKind::Heic)),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", Some(FileKind::Heic)),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", Some(FileKind::CameraRaw)),
            (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", Some(FileKind::Video)),
            // The brand is in another box.
            (b"\0\0\0\x10ftypisom\0\0\0\0avif", Some(FileKind::Video)),
            (b"\xff\xff\xff\xffftyp", Some(FileKind::Video)),
            (b"\0\0\0\0ftypavif", Some(FileKind::Avif)),
            (b"GIF89a\x01\0", Some(FileKind::Gif)),
            (b"II*\0\x08\0\0\0", Some(FileKind::Tiff)),
            (b"P6\n64 64\n255\n", Some(FileKind::Pnm)),
            (b"P6 is a prompt", Some(FileKind::Pnm)),
            (b"P8\n", None),
            (b"\xff\x0a\xfa", Some(FileKind::JpegXl)),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Some(FileKind::Svg)),
            (b"<?xml version='1.0'?>\n<!-- a --><svg/>", Some(FileKind::Svg)),
            (b"<?xml version='1.0'?><html/>", None),
            (b"a fox", None),
            (b"", None),
        ] {
            assert_eq!(FileKind::of(bytes), kind, "{}", bytes.escape_ascii());
        }
    }
}
