//! The images of one request, while they come: copied from sealed memory, or collected from frames.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use zimg_protocol::Failure;
use zimg_protocol::messages::{Generate, ImageRole};

use crate::image_input::ExpectedImage;
use crate::request_images::{NewJob, RequestImages, ReservedRoom};

/// Bytes that are copied at a time: other connections are served in between.
const PIECE: usize = 1 << 20;

/// A request whose images are coming.
#[derive(Debug)]
pub(crate) struct ImageUpload {
    request: Generate,
    /// In the order of the request's images, the incomplete ones from `next` on.
    images: Vec<IncomingImage>,
    next: usize,
    room: ReservedRoom,
}

#[derive(Debug)]
struct IncomingImage {
    role: ImageRole,
    bytes: usize,
    pixels: Vec<u8>,
}

/// Inline pixels that are not as they were announced, in words for the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {} has {bytes} bytes, of which {missing} were missing when {found} came in one frame",
    role.name()
)]
pub(crate) struct WrongPixels {
    role: ImageRole,
    bytes: usize,
    missing: usize,
    found: usize,
}

impl ImageUpload {
    /// Copies what is in memory; the rest will come in frames.
    ///
    /// # Errors
    ///
    /// The memory cannot be read.
    pub(crate) async fn begin(
        request: Generate,
        expected: Vec<ExpectedImage>,
        room: ReservedRoom,
    ) -> Result<Self, Failure> {
        let mut images = Vec::new();
        for (image, expected) in request.images.iter().zip(expected) {
            let role = image.role;
            let (bytes, pixels) = match expected {
                // Room for so many bytes is reserved.
                ExpectedImage::Inline { bytes } => (bytes, Vec::with_capacity(bytes)),
                ExpectedImage::Memory { memory, bytes } => {
                    let pixels = copy(&File::from(memory), bytes).await.map_err(|error| {
                        let role = role.name();
                        Failure::refused(format!(
                            "the memory of the {role} cannot be read: {error}"
                        ))
                    })?;
                    (bytes, pixels)
                }
            };
            images.push(IncomingImage { role, bytes, pixels });
        }
        let mut upload = Self { request, images, next: 0, room };
        upload.skip_complete();
        Ok(upload)
    }

    /// Bytes that are still to come in frames.
    pub(crate) fn missing(&self) -> usize {
        self.images.iter().map(IncomingImage::missing).sum()
    }

    /// Pixels of the next image. A frame has bytes of one image only.
    ///
    /// # Errors
    ///
    /// There are more of them than the image has, or none.
    pub(crate) fn add(&mut self, pixels: &[u8]) -> Result<(), WrongPixels> {
        let Some(image) = self.images.get_mut(self.next) else { return Ok(()) };
        let (missing, found) = (image.missing(), pixels.len());
        if !(1..=missing).contains(&found) {
            let IncomingImage { role, bytes, .. } = *image;
            return Err(WrongPixels { role, bytes, missing, found });
        }
        image.pixels.extend_from_slice(pixels);
        self.skip_complete();
        Ok(())
    }

    fn skip_complete(&mut self) {
        while self.images.get(self.next).is_some_and(|image| image.missing() == 0) {
            self.next += 1;
        }
    }

    /// The request with its images, once they are complete.
    pub(crate) fn into_job(self) -> NewJob {
        let pixels = self.images.into_iter().map(|image| Bytes::from(image.pixels)).collect();
        NewJob { request: self.request, images: RequestImages::received(pixels, self.room) }
    }

    /// Why a request whose images did not come is refused.
    pub(crate) fn abandoned(&self) -> Failure {
        let image = self.images.get(self.next);
        let (role, bytes, missing) = image
            .map_or((ImageRole::Initial, 0, 0), |image| (image.role, image.bytes, image.missing()));
        Failure::refused(format!(
            "the {} has {bytes} bytes, and after {} of them something else came",
            role.name(),
            bytes - missing
        ))
    }
}

impl IncomingImage {
    fn missing(&self) -> usize {
        self.bytes - self.pixels.len()
    }
}

/// The contents of sealed memory, whose size was checked.
async fn copy(memory: &File, bytes: usize) -> io::Result<Vec<u8>> {
    let mut pixels = vec![0; bytes];
    for (piece, offset) in pixels.chunks_mut(PIECE).zip((0_u64..).step_by(PIECE)) {
        memory.read_exact_at(piece, offset)?;
        tokio::task::yield_now().await;
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use rustix::fs::{MemfdFlags, memfd_create};
    use zimg_protocol::messages::{ImageInput, ImageSource, Params};

    use super::*;
    use crate::request_images::ImageRoom;

    /// A request for an image of 64x64 with a mask, both in frames, or the image in memory.
    async fn upload(initial: Option<&[u8]>) -> ImageUpload {
        let image = |role: ImageRole| ImageInput {
            role,
            layout: role.layout(),
            width: 64,
            height: 64,
            source: ImageSource::Inline,
        };
        let images = vec![image(ImageRole::Initial), image(ImageRole::Mask)];
        let request = Generate { images, ..Generate::new(Params::new("a fox")) };
        let bytes = 3 * 64 * 64;
        let expected = match initial {
            None => ExpectedImage::Inline { bytes },
            Some(pixels) => {
                let mut memory = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
                memory.write_all(pixels).unwrap();
                ExpectedImage::Memory { memory: OwnedFd::from(memory), bytes }
            }
        };
        let expected = vec![expected, ExpectedImage::Inline { bytes: 64 * 64 }];
        let room = ImageRoom::default().reserve(7.into(), 4 * 64 * 64).unwrap();
        ImageUpload::begin(request, expected, room).await.unwrap()
    }

    #[tokio::test]
    async fn pixels_come_in_order_from_memory_and_from_frames() {
        let initial: Vec<u8> = (0..3 * 64 * 64).map(|i| (i % 251) as u8).collect();
        for in_memory in [true, false] {
            let mut upload = upload(in_memory.then_some(&*initial)).await;
            if !in_memory {
                let (one, two) = initial.split_at(5000);
                upload.add(one).unwrap();
                upload.add(two).unwrap();
            }
            assert_eq!(upload.missing(), 64 * 64);
            upload.add(&[9; 64 * 64]).unwrap();
            assert_eq!(upload.missing(), 0);
            let NewJob { images, .. } = upload.into_job();
            assert_eq!(images.pixels(), [initial.clone(), vec![9; 64 * 64]]);
        }
    }

    #[tokio::test]
    async fn pixels_of_two_images_in_one_frame_and_none_are_refused() {
        let mut upload = upload(None).await;
        assert!(upload.add(&[]).is_err());
        upload.add(&[1; 12_000]).unwrap();
        let wrong = upload.add(&[1; 300]).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the initial image has 12288 bytes, of which 288 were missing when 300 came in one \
             frame"
        );
        assert_eq!(
            upload.abandoned().message,
            "the initial image has 12288 bytes, and after 12000 of them something else came"
        );
    }

    #[tokio::test]
    async fn memory_that_is_too_short_is_refused() {
        let memory = memfd_create("image", MemfdFlags::CLOEXEC).unwrap();
        let image = ImageInput {
            role: ImageRole::Initial,
            layout: ImageRole::Initial.layout(),
            width: 64,
            height: 64,
            source: ImageSource::Attached { index: 0 },
        };
        let request = Generate { images: vec![image], ..Generate::new(Params::new("a fox")) };
        let room = ImageRoom::default().reserve(7.into(), 12_288).unwrap();
        let expected = vec![ExpectedImage::Memory { memory, bytes: 12_288 }];
        let failure = ImageUpload::begin(request, expected, room).await.unwrap_err();
        assert!(failure.message.starts_with("the memory of the initial image cannot be read"));
    }
}
