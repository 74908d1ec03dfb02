//! Metadata embedded in an image file, and how it is read. The file is not trusted: texts and
//! lengths are bounded.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use png::{Decoder, Limits};

use super::generation::GenerationMetadata;
use super::keywords::{JSON_KEYWORD, PARAMETERS_KEYWORD};
use super::{exif, parameters};
use crate::error::Error;

/// The longest file that is read: several times the largest image there is.
const FILE_MAX: u64 = 64 << 20;
/// The most that a compressed text may become.
const TEXT_MAX: usize = 1 << 20;

/// The metadata that a file carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddedMetadata {
    /// The generation metadata: from zimg's JSON, else from the parameters text.
    pub generation: Option<GenerationMetadata>,
    /// The A1111 parameters text.
    pub parameters: Option<String>,
}

impl EmbeddedMetadata {
    /// Reads the PNG, JPEG or WebP file at `path`; its content decides which, not its name.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Directory`], [`Error::TooLong`] or [`Error::NotAnImage`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Read { path: path.to_owned(), source };
        let mut file = fs::File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(Error::Directory(path.to_owned()));
        }
        let mut bytes = Vec::new();
        let read = file.by_ref().take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if read as u64 > FILE_MAX {
            return Err(Error::TooLong { path: path.to_owned(), limit_mib: FILE_MAX >> 20 });
        }
        Self::from_bytes(&bytes).ok_or_else(|| Error::NotAnImage(path.to_owned()))
    }

    /// Reads a file's bytes; none if they are not a PNG, JPEG or WebP file.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
        let (parameters, generation) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            let texts = texts(bytes);
            let text =
                |keyword: &str| texts.iter().find(|text| text.0 == keyword).map(|text| &*text.1);
            let json = text(JSON_KEYWORD).and_then(GenerationMetadata::from_json);
            (text(PARAMETERS_KEYWORD).map(str::to_owned), json)
        } else if bytes.starts_with(b"\xff\xd8\xff") || webp {
            exif::read(bytes)
        } else {
            return None;
        };
        let generation = generation.or_else(|| parameters::read(parameters.as_deref()?));
        Some(Self { generation, parameters })
    }
}

/// Keywords and texts of a PNG file before its pixels.
fn texts(bytes: &[u8]) -> Vec<(String, String)> {
    let limits = Limits { bytes: FILE_MAX as usize };
    let Ok(mut reader) = Decoder::new_with_limits(Cursor::new(bytes), limits).read_info() else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    // Pixels are not looked at; a text after them would be read with them.
    let info = reader.info();
    for chunk in &info.uncompressed_latin1_text {
        texts.push((chunk.keyword.clone(), chunk.text.clone()));
    }
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(TEXT_MAX).is_ok()
            && let Ok(text) = chunk.get_text()
        {
            texts.push((chunk.keyword, text));
        }
    }
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(TEXT_MAX).is_ok()
            && let Ok(text) = chunk.get_text()
        {
            texts.push((chunk.keyword, text));
        }
    }
    let _ = reader.finish();
    texts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zimage_params::Params;

    use super::super::generation::tests::metadata;
    use super::*;
    use crate::{Encoding, ImageFormat, Pixels};

    fn image(format: (ImageFormat, Option<u8>)) -> Vec<u8> {
        let rgb = vec![7; 3 * 64 * 64];
        let pixels = Pixels { width: 64, height: 64, rgb: &rgb };
        format.0.encode(pixels, Encoding { quality: format.1 }, Some(&metadata())).unwrap()
    }

    /// With the quality.
    const FORMATS: [(ImageFormat, Option<u8>); 4] = [
        (ImageFormat::Png, None),
        (ImageFormat::Jpeg, None),
        (ImageFormat::WebP, None),
        (ImageFormat::WebP, Some(80)),
    ];

    #[test]
    fn each_format_keeps_the_recipe_and_the_text() {
        for format in FORMATS {
            let bytes = image(format);
            let found = EmbeddedMetadata::from_bytes(&bytes).unwrap();
            assert_eq!(found.generation, Some(metadata()), "{format:?}");
            assert_eq!(found.parameters, Some(metadata().to_parameters()), "{format:?}");
            let read = image::load_from_memory(&bytes).unwrap().into_rgb8();
            assert_eq!(read.dimensions(), (64, 64), "{format:?} is an image all the same");
        }
    }

    #[test]
    fn plain_text_is_in_the_chunk_that_all_can_read() {
        let params = Params { prompt: "a fox".to_owned(), ..metadata().params };
        let plain = GenerationMetadata { params, ..metadata() };
        let rgb = vec![7; 3 * 64 * 64];
        let pixels = Pixels { width: 64, height: 64, rgb: &rgb };
        let bytes = ImageFormat::Png.encode(pixels, Encoding::default(), Some(&plain)).unwrap();
        let at = bytes.windows(4).position(|window| window == b"tEXt").unwrap();
        assert!(bytes[at + 4..].starts_with(b"parameters\0a fox\n"));
    }

    #[test]
    fn a_text_that_becomes_too_long_is_left_out() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Rgb);
        let bomb = " ".repeat(TEXT_MAX + 1);
        encoder.add_ztxt_chunk(PARAMETERS_KEYWORD.to_owned(), bomb).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0; 3]).unwrap();
        writer.finish().unwrap();
        assert_eq!(EmbeddedMetadata::from_bytes(&bytes), Some(EmbeddedMetadata::default()));
    }

    #[test]
    fn files_that_are_no_images_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        assert!(matches!(EmbeddedMetadata::read(&path), Err(Error::Read { .. })));
        assert!(matches!(EmbeddedMetadata::read(folder.path()), Err(Error::Directory(_))));
        fs::write(&path, "not an image").unwrap();
        assert!(matches!(EmbeddedMetadata::read(&path), Err(Error::NotAnImage(_))));
        let long = fs::File::create(&path).unwrap();
        long.set_len(FILE_MAX + 1).unwrap();
        assert!(
            EmbeddedMetadata::read(&path)
                .unwrap_err()
                .to_string()
                .ends_with("is longer than 64 MiB")
        );
    }

    proptest! {
        #[test]
        fn damaged_files_never_harm(
            format in 0_usize..4,
            cut in 0.0..1.0_f64,
            damage in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 0..8),
        ) {
            let mut bytes = image(FORMATS[format]);
            bytes.truncate((bytes.len() as f64 * cut.mul_add(0.9, 0.1)) as usize);
            for (at, value) in damage {
                // Most of what can be lied about is at the beginning.
                let at = (at * at * bytes.len() as f64) as usize;
                bytes[at] = value;
            }
            let _ = EmbeddedMetadata::from_bytes(&bytes);
        }

        #[test]
        fn any_bytes_never_harm(start in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let starts: [&[u8]; 3] =
                [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe1", b"RIFF\0\x01\0\0WEBPEXIF"];
            let _ = EmbeddedMetadata::from_bytes(&[starts[start], &bytes].concat());
        }
    }
}
