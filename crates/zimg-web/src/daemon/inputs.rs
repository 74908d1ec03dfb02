//! Images that a request brings: decoded in a process of their own, a few at a time, and handed to
//! the daemon as pixels.

use std::ffi::OsStr;
use std::sync::LazyLock;

use bytes::Bytes;
use tokio::sync::Semaphore;
use zimg_client::{ImageRole, ImageUpload, Params, PixelLayout};
use zimg_image::{
    InputDecoder, InputError, InputFault, InputFile, InputImages, InputRecord, InputRequest,
    InputRole, InputSize,
};

use super::Daemon;
use super::connection::on_thread;
use crate::problem::{Problem, Reason};

/// Processes that decode at a time.
static DECODERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// A file of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SentFile {
    /// Its name, if the client says one.
    pub(crate) name: Option<String>,
    pub(crate) bytes: Bytes,
}

/// Files of a request, and what to make of them.
#[derive(Clone, Debug)]
pub(crate) struct InputFiles {
    pub(crate) initial: SentFile,
    pub(crate) mask: Option<SentFile>,
    /// Its size is that of the parameters.
    pub(crate) request: InputRequest,
}

impl From<Bytes> for SentFile {
    fn from(bytes: Bytes) -> Self {
        Self { name: None, bytes }
    }
}

impl SentFile {
    /// The file as images record it; `role` is its name if it has none. Names have no folders.
    fn recorded(&self, role: &str) -> InputFile {
        let name = self.name.as_deref().and_then(|name| name.rsplit(['/', '\\']).next());
        let name = name.filter(|name| !name.is_empty()).unwrap_or(role);
        InputFile::new(OsStr::new(name), &self.bytes)
    }
}

impl InputFiles {
    /// The record that images made from them carry, as those of `zimg`.
    fn record(&self) -> InputRecord {
        let mask = self.mask.as_ref().map(|mask| mask.recorded("mask"));
        InputRecord::new(self.initial.recorded("image"), mask, &self.request)
    }
}

impl Daemon {
    /// The pixels of a request's images. Width and height of the parameters become theirs, and the
    /// files are recorded in them.
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
        let request = InputRequest { size, ..files.request };
        let files = InputFiles { request, ..files };
        let _turn = DECODERS.acquire().await;
        let decoded = on_thread(move || {
            let mask = files.mask.as_ref().map(|mask| &*mask.bytes);
            let images =
                InputDecoder::this_program().read(&files.initial.bytes, mask, &files.request)?;
            Ok((images, files.record()))
        });
        let (images, record) = decoded.await?.map_err(|error| problem(&error))?;
        (params.width, params.height) = (Some(images.width), Some(images.height));
        params.image_inputs = Some(record.to_text());
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
    use zimg_image::MaskChoice;

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
    fn files_are_recorded_without_folders() {
        let file = |name: &str| SentFile { name: Some(name.to_owned()), bytes: "B".into() };
        for (name, recorded) in [
            ("a.png", "a.png"),
            ("/etc/a.png", "a.png"),
            ("C:\\x\\a.png", "a.png"),
            ("a/", "image"),
            ("", "image"),
        ] {
            assert_eq!(file(name).recorded("image").name, recorded, "{name}");
        }
        let bytes = Bytes::from_static(b"A");
        let request = InputRequest { mask: MaskChoice::FileAlpha, ..InputRequest::default() };
        let files = InputFiles { initial: bytes.into(), mask: Some(file("m.png")), request };
        let record = files.record();
        assert_eq!((&*record.init.name, &*record.mask().unwrap().name), ("image", "m.png"));
        assert_eq!(record.request((64, 64)).mask, MaskChoice::FileAlpha);
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
