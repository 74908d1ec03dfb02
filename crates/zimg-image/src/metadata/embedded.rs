//! Metadata embedded in an image file, and how it is read. The file is not trusted: texts and
//! lengths are bounded.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::containers::{FileTexts, LostText, MetadataDoubt};
use super::generation::GenerationMetadata;
use super::programs::{self, MetadataWriter, Reading, UnreadMetadata};
use crate::error::Error;
use crate::file_kind::FileKind;

/// The longest file that is read: several times the largest image there is.
const FILE_MAX: u64 = 64 << 20;

/// The metadata that a file carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddedMetadata {
    /// The generation metadata: from zimg's JSON, else from another program's text.
    pub generation: Option<GenerationMetadata>,
    /// The A1111 parameters text, or the text that another program wrote instead.
    pub parameters: Option<String>,
    /// The program whose metadata it is.
    pub writer: Option<MetadataWriter>,
    /// Why there is no generation metadata although a program wrote some.
    pub unread: Option<UnreadMetadata>,
    /// Keywords of the texts that are no generation metadata of a known program, which
    /// `parameters` has then.
    pub others: Vec<String>,
    /// Why it may not be this image's.
    pub doubt: Option<MetadataDoubt>,
    /// A text that is there and is not read, if there is no metadata.
    pub lost: Option<LostText>,
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
        Self::from_bytes(&bytes)
            .ok_or_else(|| Error::NotAnImage { path: path.to_owned(), kind: FileKind::of(&bytes) })
    }

    /// Reads a file's bytes; none if they are not a PNG, JPEG or WebP file.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut texts = FileTexts::of(bytes)?;
        let mut found = Self::of(&texts);
        for doubt in MetadataDoubt::ALL {
            if found.generation.is_some() {
                break;
            }
            if texts.admit(doubt) {
                let doubted = Self { doubt: Some(doubt), ..Self::of(&texts) };
                if doubted.generation.is_some()
                    || found.writer.is_none() && doubted.writer.is_some()
                {
                    found = doubted;
                }
            }
        }
        Some(found)
    }

    /// Reads an A1111 parameters text that is in no file, as users paste it.
    pub fn from_text(text: &str) -> Self {
        Self::of(&FileTexts::of_parameters(text))
    }

    /// What the texts that count say.
    fn of(texts: &FileTexts) -> Self {
        let Some(Reading { writer, text, metadata }) = programs::read(texts) else {
            let mut others = Vec::new();
            let mut text = String::new();
            for (keyword, other) in texts.others() {
                text += &format!("{keyword}: {other}\n");
                if !others.iter().any(|known| known == keyword) {
                    others.push(keyword.to_owned());
                }
            }
            let parameters = (!others.is_empty()).then_some(text);
            return Self { others, parameters, lost: texts.lost().cloned(), ..Self::default() };
        };
        let (generation, unread) = match metadata {
            Ok(metadata) => (Some(metadata), None),
            Err(unread) => (None, Some(unread)),
        };
        let (parameters, writer) = (Some(text), Some(writer));
        Self { generation, parameters, writer, unread, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zimage_params::Params;

    use super::super::containers::TEXT_MAX;
    use super::super::generation::tests::metadata;
    use super::super::keywords::PARAMETERS_KEYWORD;
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
    fn a_pasted_text_is_read_without_a_file() {
        let found = EmbeddedMetadata::from_text(&metadata().to_parameters());
        let found = found.generation.unwrap().params;
        assert_eq!((found.prompt, found.seed), (metadata().params.prompt, Some(u64::MAX)));
        assert_eq!(EmbeddedMetadata::from_text("a fox").generation, None);
        assert_eq!(EmbeddedMetadata::from_text(" "), EmbeddedMetadata::default());
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
    fn files_that_are_no_images_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        assert!(matches!(EmbeddedMetadata::read(&path), Err(Error::Read { .. })));
        assert!(matches!(EmbeddedMetadata::read(folder.path()), Err(Error::Directory(_))));
        fs::write(&path, "not an image").unwrap();
        assert!(matches!(EmbeddedMetadata::read(&path), Err(Error::NotAnImage { kind: None, .. })));
        fs::write(&path, b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf").unwrap();
        let refused = EmbeddedMetadata::read(&path).unwrap_err().to_string();
        assert!(refused.ends_with("a.png is an AVIF file, expected a PNG, JPEG or WebP file"));
        let long = fs::File::create(&path).unwrap();
        long.set_len(FILE_MAX + 1).unwrap();
        assert!(
            EmbeddedMetadata::read(&path)
                .unwrap_err()
                .to_string()
                .ends_with("is longer than 64 MiB")
        );
    }

    /// The chunks of a PNG file, each with its length and checksum.
    fn chunks(png: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = &png[8..];
        let mut chunks = Vec::new();
        while let Some(length) = rest.first_chunk::<4>() {
            let (chunk, after) = rest.split_at(u32::from_be_bytes(*length) as usize + 12);
            chunks.push(chunk.to_vec());
            rest = after;
        }
        chunks
    }

    /// A bit of a prompt is another prompt: it is read, and the doubt is told.
    #[test]
    fn a_text_that_is_damaged_is_in_doubt() {
        let mut bytes = image((ImageFormat::Png, None));
        for keyword in [&b"parameters\0"[..], b"zimg\0"] {
            let at = bytes.windows(keyword.len()).position(|window| window == keyword).unwrap();
            bytes[at + keyword.len() + 20] ^= 1;
        }
        let found = EmbeddedMetadata::from_bytes(&bytes).unwrap();
        assert_eq!(found.doubt, Some(MetadataDoubt::Checksum));
        assert_ne!(found.generation, Some(metadata()));
    }

    /// Texts that decompress to a thousand times their length are not all decompressed.
    #[test]
    fn the_work_for_a_file_is_bounded() {
        let mut bomb = Vec::new();
        let mut encoder = png::Encoder::new(&mut bomb, 1, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.add_ztxt_chunk("x".to_owned(), " ".repeat(TEXT_MAX - 1)).unwrap();
        encoder.write_header().unwrap().write_image_data(&[0; 3]).unwrap();
        let bomb = chunks(&bomb).into_iter().find(|chunk| chunk[4..].starts_with(b"zTXt")).unwrap();
        let own = image((ImageFormat::Png, None));
        let (head, rest) = own.split_at(8);
        let with = |bombs: usize| [head, &bomb.repeat(bombs), rest].concat();
        // A few do no harm, and after many nothing is read.
        let few = EmbeddedMetadata::from_bytes(&with(3)).unwrap();
        assert_eq!(few.generation, Some(metadata()));
        let many = EmbeddedMetadata::from_bytes(&with(2000)).unwrap();
        let nothing = EmbeddedMetadata { lost: Some(LostText::TooMuch), ..Default::default() };
        assert_eq!(many, nothing);
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
        fn chunks_are_read_in_any_order(order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle()) {
            let chunks = chunks(&image((ImageFormat::Png, None)));
            let (first, last) = (chunks.first().unwrap(), chunks.last().unwrap());
            let inner = &chunks[1..chunks.len() - 1];
            let mut bytes = [b"\x89PNG\r\n\x1a\n", &first[..]].concat();
            for at in order.into_iter().filter(|at| *at < inner.len()) {
                bytes.extend_from_slice(&inner[at]);
            }
            bytes.extend_from_slice(last);
            prop_assert!(inner.len() <= 5);
            let found = EmbeddedMetadata::from_bytes(&bytes).unwrap();
            prop_assert_eq!(found.generation, Some(metadata()));
            prop_assert_eq!(found.parameters, Some(metadata().to_parameters()));
        }

        /// Prompts and models of all kinds, in all formats.
        #[test]
        fn what_is_written_is_read(
            format in 0_usize..4,
            prompt in "\\PC{0,80}(\n\\PC{0,20}){0,2}",
            negative in "[^\r\u{feff}\0]{1,40}",
            model in "\\PC{0,40}",
            seed: u64,
            guidance in 0.0..100.0_f32,
        ) {
            let params = Params {
                prompt,
                negative: Some(negative),
                seed: Some(seed),
                guidance: Some(guidance),
                ..metadata().params
            };
            let written = GenerationMetadata { params, model: Some(model), ..metadata() };
            let rgb = vec![7; 3 * 64 * 64];
            let pixels = Pixels { width: 64, height: 64, rgb: &rgb };
            let (format, quality) = FORMATS[format];
            let bytes = format.encode(pixels, Encoding { quality }, Some(&written)).unwrap();
            let found = EmbeddedMetadata::from_bytes(&bytes).unwrap();
            prop_assert_eq!(found.generation, Some(written));
        }

        /// The text alone, of prompts that have no line like those of the text itself.
        #[test]
        fn the_text_alone_is_read(
            prompt in "[a-zé雪 ,.()\"]{1,60}",
            seed: u64,
            tenths in 0_u16..1000,
        ) {
            let params = Params {
                prompt,
                seed: Some(seed),
                guidance: Some(f32::from(tenths) / 10.0),
                guidance_normalization: None,
                guidance_truncation: None,
                ..metadata().params
            };
            let written = GenerationMetadata { params, dtype: None, device: None, ..metadata() };
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
            encoder.set_color(png::ColorType::Rgb);
            encoder.add_itxt_chunk(PARAMETERS_KEYWORD.to_owned(), written.to_parameters()).unwrap();
            encoder.write_header().unwrap().write_image_data(&[0; 3]).unwrap();
            let found = EmbeddedMetadata::from_bytes(&bytes).unwrap();
            prop_assert_eq!(found.generation, Some(written));
        }

        /// JSON of other programs with any values.
        #[test]
        fn any_values_of_other_programs_never_harm(
            keyword in prop::sample::select(vec!["parameters", "prompt", "invokeai_metadata", "sd-metadata", "Comment"]),
            key in prop::sample::select(vec!["sui_image_params", "full_prompt", "uc", "image", "1", "c"]),
            inner in prop::sample::select(vec!["width", "seed", "steps", "inputs", "class_type", "prompt"]),
            value in prop::sample::select(vec!["1e999", "-1", "[[[[]]]]", "{\"a\":1}", "\"x\"", "null", "[\"1\",0]"]),
        ) {
            let json = format!("{{\"{key}\":{{\"class_type\":\"KSampler\",\"{inner}\":{value}}},\"{inner}\":{value}}}");
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
            encoder.set_color(png::ColorType::Rgb);
            encoder.add_text_chunk(keyword.to_owned(), json).unwrap();
            encoder.write_header().unwrap().write_image_data(&[0; 3]).unwrap();
            let found = EmbeddedMetadata::from_bytes(&bytes).unwrap();
            prop_assert_eq!(found.generation, None);
        }

        #[test]
        fn any_bytes_never_harm(start in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let starts: [&[u8]; 3] =
                [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe1", b"RIFF\0\x01\0\0WEBPEXIF"];
            let _ = EmbeddedMetadata::from_bytes(&[starts[start], &bytes].concat());
        }
    }
}
