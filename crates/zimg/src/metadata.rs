//! Generation metadata of a file: the request that its image is made from again, and what is said of
//! one that has none.

use std::path::Path;

use zimg_client::{Failure, Kind, Params};
use zimg_image::{EmbeddedMetadata, Error, GenerationMetadata, LostText};
use zimg_text::shell_word;

/// How many texts of a file are named.
const TEXTS_SHOWN: usize = 4;

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
