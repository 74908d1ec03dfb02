//! Check for an existing image, so that a batch does not generate it again.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use zimg_client::{Failure, Kind, Params};

use zimg_image::{EmbeddedMetadata, GenerationMetadata, ImageFormat};

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

/// Reads `path` and compares it with the image of these parameters. `seed`: whether the seed is
/// given.
///
/// # Errors
///
/// `CannotCreate`: the file is another image or none. `Io`: it cannot be read.
pub(super) fn inspect(
    path: &Path,
    format: ImageFormat,
    draw: &Params,
    seed: bool,
) -> Result<ExistingFile, Failure> {
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
    if matches!(format, ImageFormat::Ppm | ImageFormat::Raw) {
        let whole = plain(&bytes, format, draw.width.zip(draw.height));
        return if whole { Ok(ExistingFile::Complete) } else { Ok(ExistingFile::Incomplete) };
    }
    let Some(found) = EmbeddedMetadata::from_bytes(&bytes) else {
        return Err(another("is not an image"));
    };
    if image::load_from_memory(&bytes).is_err() {
        return Ok(ExistingFile::Incomplete);
    }
    match found.generation {
        Some(made) if !is_of(&made, draw, seed) => Err(another("is another image")),
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
            program: None,
        }
    }

    /// What is said of these bytes in an image's place.
    fn seen(
        format: ImageFormat,
        bytes: &[u8],
        draw: &Params,
        seed: bool,
    ) -> Result<ExistingFile, Kind> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, bytes).unwrap();
        inspect(&path, format, draw, seed).map_err(|failure| failure.kind)
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
        let nothing = inspect(&folder.path().join("a"), ImageFormat::Png, &draw(), true);
        assert_eq!(nothing, Ok(ExistingFile::Missing));
        assert_eq!(
            inspect(folder.path(), ImageFormat::Png, &draw(), true).unwrap_err().kind,
            Kind::Io
        );
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
        let silent = encoded(ImageFormat::Png, None);
        assert_eq!(
            seen(ImageFormat::Png, &silent, &any, true),
            Ok(ExistingFile::Complete),
            "it does not say"
        );
        assert_eq!(seen(ImageFormat::Png, b"mine", &any, true), Err(Kind::CannotCreate));
    }
}
