//! Generation metadata of an image that the daemon generated, and the request that it is made from
//! again.

use std::path::Path;

use zimg_client::{Failure, ImageInfo, Kind, Params, Started};
use zimg_image::{EmbeddedMetadata, Error, GenerationMetadata, LostText};
use zimg_text::shell_word;

use crate::version::PROGRAM;

/// How many texts of a file are named.
const TEXTS_SHOWN: usize = 4;

/// The metadata of one image of a job: the request, the values of the defaults, and the image.
pub(crate) fn of_image(
    params: &Params,
    started: &Started,
    image: &ImageInfo,
) -> GenerationMetadata {
    let model = &started.model;
    // Empty in jobs that zimg 0.1 stored.
    let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    GenerationMetadata {
        params: Params {
            width: Some(image.width),
            height: Some(image.height),
            steps: Some(started.steps),
            guidance: Some(started.guidance),
            seed: Some(image.seed),
            ..params.clone()
        },
        model: Some(model.name.clone()),
        dtype: known(&model.dtype),
        device: known(&model.device),
        program: Some(PROGRAM.to_owned()),
    }
}

/// The request that generates the image again.
pub(crate) fn to_params(metadata: &GenerationMetadata) -> Params {
    Params { count: None, ..metadata.params.clone() }
}

/// The metadata in the file at `path`.
///
/// # Errors
///
/// `Io`: the file cannot be read or is too long. `Refused`: it is not an image.
pub(crate) fn read(path: &Path) -> Result<EmbeddedMetadata, Failure> {
    EmbeddedMetadata::read(path).map_err(|error| failure(&error))
}

/// The warning about metadata that may not be this image's.
pub(crate) fn doubt(path: &Path, embedded: &EmbeddedMetadata) -> Option<String> {
    embedded.doubt.map(|doubt| format!("{}: {doubt}", path.display()))
}

/// The failure of a file that does not say how to generate its image again: because it has no
/// metadata, or because that of another program is not understood.
pub(crate) fn unread(path: &Path, embedded: &EmbeddedMetadata) -> Failure {
    let shown = path.display();
    if let (Some(writer), Some(unread)) = (embedded.writer, embedded.unread) {
        let message = format!(
            "{shown} has metadata of {writer}, which does not say how to generate the image again: \
             {unread}"
        );
        return Failure::new(Kind::Refused, message)
            .hint(format!("`zimg show --parameters {}` prints it", shell_word(path)));
    }
    if let Some(lost) = &embedded.lost {
        let message = format!("{shown} has no generation metadata that can be read: {lost}");
        let hint = match lost {
            LostText::TooLong(_) | LostText::TooMuch => {
                "generation metadata has a few KiB: what is there was not made by zimg"
            }
            LostText::Damaged(_) | LostText::Checksum(_) | LostText::Cut => {
                "use another copy of the file"
            }
        };
        return Failure::new(Kind::Refused, message).hint(hint);
    }
    if !embedded.others.is_empty() {
        let few = embedded.others.iter().take(TEXTS_SHOWN).map(|name| format!("`{name}`"));
        let few = few.collect::<Vec<_>>().join(", ");
        let message =
            format!("{shown} has no generation metadata that zimg knows, but texts: {few}");
        return Failure::new(Kind::Refused, message)
            .hint(format!("`zimg show --parameters {}` prints them", shell_word(path)));
    }
    Failure::new(Kind::Refused, format!("{shown} has no generation metadata")).hint(
        "images by zimg have it, unless they were generated with --no-metadata or edited since",
    )
}

/// An error of `zimg-image` as a failure.
pub(crate) fn failure(error: &Error) -> Failure {
    let kind = match error {
        Error::PixelCount { .. } | Error::Encode(_) => Kind::Internal,
        Error::Read { .. } | Error::Directory(_) | Error::TooLong { .. } => Kind::Io,
        Error::NotAnImage { .. } => Kind::Refused,
    };
    Failure::new(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_client::ModelInfo;

    #[test]
    fn it_is_the_request_with_the_defaults_as_they_became() {
        let params = Params { seed: Some(7), count: Some(3), ..Params::new("a fox") };
        let started = Started {
            model: ModelInfo { name: "tiny".into(), ..ModelInfo::default() },
            width: 64,
            height: 80,
            steps: 4,
            guidance: 0.0,
        };
        let image = ImageInfo { index: 1, seed: 8, width: 64, height: 80, bytes: 3 * 64 * 80 };
        let metadata = of_image(&params, &started, &image);
        let again = Params {
            width: Some(64),
            height: Some(80),
            steps: Some(4),
            guidance: Some(0.0),
            seed: Some(8),
            ..Params::new("a fox")
        };
        assert_eq!(to_params(&metadata), again);
    }
}
