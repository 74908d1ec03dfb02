//! Images as files: encoded on the blocking pool, with the metadata that `zimg` writes.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::Semaphore;
use zimg_client::{Image, Params, Preview, Started};
use zimg_image::{Encoding, GenerationMetadata, ImageFormat, Pixels};

use super::PROGRAM;
use super::connection::on_thread;
use crate::problem::{Problem, Reason};

/// The quality of previews and thumbnails.
const PREVIEW_QUALITY: u8 = 80;

/// Encoders at work: more than CPUs would only hold more pixels in memory.
static ENCODERS: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
});

/// What the metadata of a job's images needs.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// The request.
    pub params: Params,
    /// What the defaults became.
    pub started: Started,
}

impl JobContext {
    /// The metadata of one image.
    pub fn metadata(&self, image: &zimg_client::ImageInfo) -> GenerationMetadata {
        GenerationMetadata::of_image(&self.params, &self.started, image, PROGRAM)
    }
}

/// The bytes of an image's file.
///
/// # Errors
///
/// The encoder refuses the image.
pub async fn encode(
    context: &JobContext,
    image: Image,
    format: ImageFormat,
    encoding: Encoding,
    metadata: bool,
) -> Result<Bytes, Problem> {
    let metadata = metadata.then(|| context.metadata(&image.info));
    encoded(move || {
        let pixels =
            Pixels { width: image.info.width, height: image.info.height, rgb: &image.pixels };
        format.encode(pixels, encoding, metadata.as_ref())
    })
    .await
}

/// The same as base64, which is made on the encoder's thread, too.
///
/// # Errors
///
/// As [`encode`].
pub async fn encode_base64(
    context: &JobContext,
    image: Image,
    format: ImageFormat,
    encoding: Encoding,
) -> Result<Bytes, Problem> {
    let metadata = context.metadata(&image.info);
    encoded(move || {
        let pixels =
            Pixels { width: image.info.width, height: image.info.height, rgb: &image.pixels };
        let file = format.encode(pixels, encoding, Some(&metadata))?;
        Ok(STANDARD.encode(file).into_bytes())
    })
    .await
}

/// The bytes of a preview's file, at an eighth of the image's sides.
///
/// # Errors
///
/// The encoder refuses the preview.
pub async fn encode_preview(preview: &Preview, format: ImageFormat) -> Result<Bytes, Problem> {
    let Preview { width, height, rgb, .. } = preview.clone();
    encoded(move || {
        let lossy = Encoding { quality: Some(PREVIEW_QUALITY) };
        format.encode(Pixels { width, height, rgb: &rgb }, lossy, None)
    })
    .await
}

/// A small lossy WebP of an image, its longer side at most `side`.
pub(crate) async fn thumbnail(image: Image, side: u32) -> Result<Bytes, Problem> {
    encoded(move || {
        let (width, height) = (image.info.width, image.info.height);
        let longest = width.max(height);
        let small = |of: u32| {
            if longest <= side { of } else { (of * side).div_ceil(longest).max(1) }
        };
        let whole = Pixels { width, height, rgb: &image.pixels };
        whole.check()?;
        let (width, height) = (small(width), small(height));
        let rgb = zimg_image::scaled(whole, width, height);
        let lossy = Encoding { quality: Some(PREVIEW_QUALITY) };
        ImageFormat::WebP.encode(Pixels { width, height, rgb: &rgb }, lossy, None)
    })
    .await
}

async fn encoded(
    work: impl FnOnce() -> Result<Vec<u8>, zimg_image::Error> + Send + 'static,
) -> Result<Bytes, Problem> {
    let permit = ENCODERS.acquire().await;
    let bytes = on_thread(work).await;
    drop(permit);
    match bytes? {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Problem::new(Reason::Internal, error.to_string())),
    }
}
