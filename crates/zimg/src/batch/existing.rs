//! Check for an existing image, so that a batch does not generate it again.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use zimg_client::{Failure, Kind, Params};

use zimg_image::{EmbeddedMetadata, GenerationMetadata, ImageFormat, LostText, MetadataWriter};

/// The longest file that is read.
const FILE_MAX: u64 = 64 << 20;

/// The state of an image's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExistingFile {
    /// No file.
    Missing,
    /// A complete image with these parameters.
    Complete,
    /// A truncated image, which is generated again.
    Incomplete,
}

/// The image that a batch is about to generate.
#[derive(Clone, Copy)]
pub(super) struct ExpectedImage<'a> {
    pub(super) format: ImageFormat,
    pub(super) params: &'a Params,
    /// Whether the seed is given.
    pub(super) seeded: bool,
    /// Whether it is written with generation metadata.
    pub(super) metadata: bool,
}

/// Reads `path` and compares it with the image that is expected there. Only what zimg wrote can be
/// that image: one of another program, or whose metadata cannot be read, is never taken for it.
///
/// # Errors
///
/// `CannotCreate`: the file is another image or none. `Io`: it cannot be read.
pub(super) fn inspect(path: &Path, expected: ExpectedImage<'_>) -> Result<ExistingFile, Failure> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ExistingFile::Missing),
        Err(error) => {
            return Err(Failure::new(Kind::Io, format!("cannot read {shown}: {error}")));
        }
        Ok(0) => return Ok(ExistingFile::Incomplete),
        Ok(_) => {}
    }
    let another = |what: &str| {
        Failure::new(Kind::CannotCreate, format!("{shown} exists already and {what}"))
            .hint("--force replaces it, -o gives another name")
    };
    let ExpectedImage { format, params, seeded, metadata } = expected;
    let size = params.width.zip(params.height);
    if matches!(format, ImageFormat::Ppm | ImageFormat::Raw) {
        let whole = plain(&bytes, format, size);
        return if whole { Ok(ExistingFile::Complete) } else { Ok(ExistingFile::Incomplete) };
    }
    let Some(found) = EmbeddedMetadata::from_bytes(&bytes) else {
        return Err(another("is not an image"));
    };
    let unread = || another("has metadata that cannot be read: it may be another image");
    match (found.writer, found.generation) {
        (Some(_), _) if found.doubt.is_some() => return Err(unread()),
        (Some(MetadataWriter::Zimg), Some(made)) if is_of(&made, params, seeded) => {}
        (Some(MetadataWriter::Zimg), Some(_)) => return Err(another("is another image")),
        (Some(MetadataWriter::Zimg), None) => return Err(unread()),
        (Some(writer), _) => return Err(another(&format!("is an image by {writer}"))),
        (None, _) if found.lost.is_some_and(|lost| lost != LostText::Cut) => return Err(unread()),
        (None, _) => return without_metadata(&bytes, size, metadata, another),
    }
    let whole = image::load_from_memory(&bytes).is_ok();
    Ok(if whole { ExistingFile::Complete } else { ExistingFile::Incomplete })
}

/// An image without metadata is of a batch that writes none, if its size is right.
fn without_metadata(
    bytes: &[u8],
    size: Option<(u32, u32)>,
    expected: bool,
    another: impl Fn(&str) -> Failure,
) -> Result<ExistingFile, Failure> {
    let Ok(image) = image::load_from_memory(bytes) else { return Ok(ExistingFile::Incomplete) };
    if expected {
        return Err(another("has no generation metadata: it may be another image"));
    }
    let found = (image.width(), image.height());
    match size {
        Some((width, height)) if (width, height) != found => {
            Err(another(&format!("is {}x{}, expected {width}x{height}", found.0, found.1)))
        }
        _ => Ok(ExistingFile::Complete),
    }
}

/// Whether the metadata fits the parameters. Parameters that are not given fit any value, and so
/// does the seed unless it is given.
fn is_of(made: &GenerationMetadata, asked: &Params, seed: bool) -> bool {
    let made = made.params.clone().or(&Params::constants());
    let asked = asked.clone().or(&Params::constants());
    asked
        .given()
        .filter(|(row, _)| row.metadata.is_recorded() && (seed || row.name != "seed"))
        .all(|(row, value)| made.get(row.name) == Some(value))
}

/// Whether a file without metadata has the right number of pixels.
fn plain(bytes: &[u8], format: ImageFormat, size: Option<(u32, u32)>) -> bool {
    let pixels = |(width, height): (u32, u32)| 3 * width as usize * height as usize;
    if format == ImageFormat::Raw {
        return size.is_none_or(|size| bytes.len() == pixels(size));
    }
    let head = bytes.get(..32.min(bytes.len())).map(String::from_utf8_lossy).unwrap_or_default();
    let mut lines = head.split('\n');
    let said = (lines.next(), lines.next(), lines.next());
    let (Some("P6"), Some(sides), Some("255")) = said else { return false };
    let sides = sides.split_once(' ').map(|(w, h)| (w.parse::<u32>().ok(), h.parse::<u32>().ok()));
    let Some((Some(width), Some(height))) = sides else { return false };
    let start = "P6\n\n255\n".len() + width.to_string().len() + 1 + height.to_string().len();
    size.is_none_or(|size| size == (width, height))
        && bytes.len().checked_sub(start) == Some(pixels((width, height)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_image::{Encoding, Pixels};

    fn draw() -> Params {
        Params { seed: Some(7), width: Some(64), height: Some(80), ..Params::new("a fox") }
    }

    fn metadata(draw: &Params) -> GenerationMetadata {
        GenerationMetadata {
            params: Params { steps: Some(8), guidance: Some(0.0), ..draw.clone() },
            model: None,
            dtype: None,
            device: None,
            program: Some("zimg 0.1.0".to_owned()),
        }
    }

    /// What is said of these bytes in an image's place.
    fn seen(
        format: ImageFormat,
        bytes: &[u8],
        params: &Params,
        seeded: bool,
    ) -> Result<ExistingFile, Kind> {
        inspected(bytes, ExpectedImage { format, params, seeded, metadata: true })
    }

    fn inspected(bytes: &[u8], expected: ExpectedImage<'_>) -> Result<ExistingFile, Kind> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, bytes).unwrap();
        inspect(&path, expected).map_err(|failure| failure.kind)
    }

    fn encoded(format: ImageFormat, metadata: Option<&GenerationMetadata>) -> Vec<u8> {
        let rgb: Vec<u8> = (0..3 * 64 * 80_u32).map(|i| (i * i / 7) as u8).collect();
        let pixels = Pixels { width: 64, height: 80, rgb: &rgb };
        format.encode(pixels, Encoding::default(), metadata).unwrap()
    }

    const ALL: [ImageFormat; 5] = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Ppm,
        ImageFormat::Raw,
    ];

    #[test]
    fn a_whole_image_is_there_and_a_part_of_one_is_broken() {
        for format in ALL {
            let bytes = encoded(format, Some(&metadata(&draw())));
            assert_eq!(
                seen(format, &bytes, &draw(), true),
                Ok(ExistingFile::Complete),
                "{format:?}"
            );
            let half = &bytes[..bytes.len() / 2];
            // A JPEG's decoder makes do with half of the data.
            if format != ImageFormat::Jpeg {
                assert_eq!(
                    seen(format, half, &draw(), true),
                    Ok(ExistingFile::Incomplete),
                    "{format:?}"
                );
            }
            assert_eq!(
                seen(format, b"", &draw(), true),
                Ok(ExistingFile::Incomplete),
                "{format:?}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let params = draw();
        let expected = ExpectedImage {
            format: ImageFormat::Png,
            params: &params,
            seeded: true,
            metadata: true,
        };
        assert_eq!(inspect(&folder.path().join("a"), expected), Ok(ExistingFile::Missing));
        assert_eq!(inspect(folder.path(), expected).unwrap_err().kind, Kind::Io);
    }

    #[test]
    fn another_image_is_not_taken_for_it() {
        let bytes = encoded(ImageFormat::Png, Some(&metadata(&draw())));
        for other in [
            Params { prompt: "a hen".to_owned(), ..draw() },
            Params { seed: Some(8), ..draw() },
            Params { width: Some(80), ..draw() },
            Params { steps: Some(4), ..draw() },
            Params { guidance: Some(1.0), ..draw() },
            Params { negative: Some("x".to_owned()), ..draw() },
        ] {
            assert_eq!(
                seen(ImageFormat::Png, &bytes, &other, true),
                Err(Kind::CannotCreate),
                "{other:?}"
            );
        }
        let any = Params { seed: Some(8), ..draw() };
        assert_eq!(
            seen(ImageFormat::Png, &bytes, &any, false),
            Ok(ExistingFile::Complete),
            "any seed would do"
        );
        assert_eq!(seen(ImageFormat::Png, b"mine", &any, true), Err(Kind::CannotCreate));
    }

    #[test]
    fn an_image_without_metadata_is_of_a_batch_that_writes_none() {
        let params = draw();
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let silent = encoded(format, None);
            let expected = ExpectedImage { format, params: &params, seeded: true, metadata: true };
            assert_eq!(inspected(&silent, expected), Err(Kind::CannotCreate), "{format:?}");
            let none = ExpectedImage { metadata: false, ..expected };
            assert_eq!(inspected(&silent, none), Ok(ExistingFile::Complete), "{format:?}");
            let larger = Params { width: Some(80), ..params.clone() };
            let larger = ExpectedImage { params: &larger, ..none };
            assert_eq!(inspected(&silent, larger), Err(Kind::CannotCreate), "{format:?}");
        }
    }

    #[test]
    fn a_cut_image_of_another_prompt_is_not_replaced() {
        let bytes = encoded(ImageFormat::Png, Some(&metadata(&draw())));
        let half = &bytes[..bytes.len() / 2];
        let other = Params { prompt: "a hen".to_owned(), ..draw() };
        assert_eq!(seen(ImageFormat::Png, half, &other, true), Err(Kind::CannotCreate));
        assert_eq!(seen(ImageFormat::Png, half, &draw(), true), Ok(ExistingFile::Incomplete));
    }

    /// A text chunk before the pixels, in the place of zimg's own chunks.
    fn with_text(keyword: &str, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 64, 80);
        encoder.set_color(png::ColorType::Rgb);
        encoder.add_text_chunk(keyword.to_owned(), text.to_owned()).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[7; 3 * 64 * 80]).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn an_image_that_is_not_understood_is_not_taken_for_it() {
        let settings = "Steps: 8, Sampler: Euler, CFG scale: 1, Seed: 7, Size: 64x80";
        for (keyword, text) in [
            ("zimg", "{\"prompt\":\"a fox\""),
            ("zimg", "{}"),
            ("parameters", "by hand"),
            ("parameters", &format!("a fox\n{settings}, Version: v1.10.1")),
            ("parameters", "{\"sui_image_params\":{}}"),
            ("prompt", "{\"3\":{\"class_type\":\"KSampler\",\"inputs\":{}}}"),
            ("workflow", "{\"nodes\":[]}"),
            ("Title", "a fox"),
        ] {
            let bytes = with_text(keyword, text);
            let refused = seen(ImageFormat::Png, &bytes, &draw(), true);
            assert_eq!(refused, Err(Kind::CannotCreate), "{keyword}: {text}");
        }
        // zimg's own, of which an editor left the text.
        let ours = format!("a fox\n{settings}, zimg guidance: 0, Version: zimg 0.1.0");
        let bytes = with_text("parameters", &ours);
        assert_eq!(seen(ImageFormat::Png, &bytes, &draw(), true), Ok(ExistingFile::Complete));
    }
}
