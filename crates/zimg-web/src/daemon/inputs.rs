//! Images that a request brings: decoded in a process of their own, a few at a time, and handed to
//! the daemon as pixels.

use std::sync::LazyLock;

use bytes::Bytes;
use tokio::sync::Semaphore;
use zimg_client::{ImageRole, ImageUpload, Params, PixelLayout};
use zimg_image::{
    InputDecoder, InputError, InputFault, InputImages, InputRequest, InputRole, InputSize,
};

use super::Daemon;
use super::connection::on_thread;
use crate::problem::{Problem, Reason};

/// Processes that decode at a time.
static DECODERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// Files of a request, and what to make of them.
#[derive(Clone, Debug)]
pub(crate) struct InputFiles {
    pub(crate) initial: Bytes,
    pub(crate) mask: Option<Bytes>,
    /// Its size is that of the parameters.
    pub(crate) request: InputRequest,
}

impl Daemon {
    /// The pixels of a request's images. Width and height of the parameters become theirs.
    ///
    /// # Errors
    ///
    /// The model takes no image, or a file is none.
    pub(crate) async fn decode(
        &self,
        files: InputFiles,
        params: &mut Params,
    ) -> Result<InputImages, Problem> {
        let takes = &self.model().await?.capabilities;
        let missing = match (takes.initial_image, takes.mask || files.mask.is_none()) {
            (true, true) => None,
            (true, false) => Some("the model takes no mask"),
            (false, _) => Some("the model takes no image"),
        };
        if let Some(missing) = missing {
            return Err(Problem::new(Reason::NotImplemented, missing)
                .hint("send the request without it")
                .param("image"));
        }
        let size = size(params)?;
        let InputFiles { initial, mask, request } = files;
        let request = InputRequest { size, ..request };
        let _turn = DECODERS.acquire().await;
        let images = on_thread(move || {
            InputDecoder::this_program().read(&initial, mask.as_deref(), &request)
        });
        let images = images.await?.map_err(|error| problem(&error))?;
        (params.width, params.height) = (Some(images.width), Some(images.height));
        Ok(images)
    }
}

/// The size that is asked for; without one, the image's own.
fn size(params: &Params) -> Result<InputSize, Problem> {
    match (params.width, params.height) {
        (Some(width), Some(height)) => Ok(InputSize::Exact(width, height)),
        (None, None) => Ok(InputSize::OfImage),
        (width, _) => {
            let (given, other) =
                if width.is_some() { ("width", "height") } else { ("height", "width") };
            let message = format!("`{given}` is given without `{other}`, expected both or none");
            Err(Problem::invalid(message).param(other))
        }
    }
}

/// A fault in a file, under the name of its field.
fn problem(error: &InputError) -> Problem {
    let (name, param) = match error.role {
        InputRole::Initial => ("the file of the image", "image"),
        InputRole::Mask => ("the file of the mask", "mask"),
    };
    let reason = match error.fault {
        InputFault::TooManyPixels(..) | InputFault::Memory | InputFault::Time => Reason::TooLarge,
        _ => Reason::Invalid,
    };
    Problem::new(reason, format!("{name} {}", error.fault)).param(param)
}

/// The images as the daemon gets them.
pub(super) fn uploads(images: &InputImages) -> Vec<ImageUpload<'_>> {
    let InputImages { width, height, .. } = *images;
    let initial = ImageUpload {
        role: ImageRole::Initial,
        layout: PixelLayout::Rgb8,
        width,
        height,
        pixels: &images.rgb,
    };
    let mask = images.mask.as_deref().map(|pixels| ImageUpload {
        role: ImageRole::Mask,
        layout: PixelLayout::L8,
        width,
        height,
        pixels,
    });
    [initial].into_iter().chain(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_whole_or_the_images_own() {
        let of = |width, height| size(&Params { width, height, ..Params::new("a") });
        assert_eq!(of(Some(64), Some(80)), Ok(InputSize::Exact(64, 80)));
        assert_eq!(of(None, None), Ok(InputSize::OfImage));
        assert_eq!(of(Some(64), None).unwrap_err().parameter(), Some("height"));
        assert_eq!(of(None, Some(64)).unwrap_err().parameter(), Some("width"));
    }

    #[test]
    fn a_fault_names_its_field() {
        let error = |role, fault| problem(&InputError { role, fault });
        let unknown = error(InputRole::Mask, InputFault::Unknown);
        assert_eq!((unknown.parameter(), unknown.reason()), (Some("mask"), Reason::Invalid));
        let large = error(InputRole::Initial, InputFault::TooManyPixels(1, 1));
        assert_eq!((large.parameter(), large.reason()), (Some("image"), Reason::TooLarge));
    }
}
