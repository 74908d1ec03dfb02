//! Images that a request brings: descriptors passed with `SCM_RIGHTS`, and the check of what is
//! announced against what came. Their pixels are received by `image_upload.rs`.

use std::io::{self, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::unix::OwnedReadHalf;
use zimg_protocol::Failure;
use zimg_protocol::limits::{IMAGES_MAX, SIZE_MAX};
use zimg_protocol::messages::{ImageInput, ImageSource};

/// Seals without which a memfd could change after it is checked.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// The most bytes of the images of a request.
pub(crate) const IMAGE_BYTES_MAX: usize =
    IMAGES_MAX * 3 * (SIZE_MAX as usize) * (SIZE_MAX as usize);

/// What a client sends: bytes, and the descriptors beside them.
///
/// The kernel ends a read after bytes that have descriptors, but may begin it with earlier bytes
/// that have none. So descriptors belong to the frame in which the read ended, and are kept with
/// that place.
#[derive(Debug)]
pub(crate) struct DescriptorStream {
    stream: OwnedReadHalf,
    /// Bytes that have come.
    received: u64,
    /// Descriptors with the number of bytes that had come with them.
    pending: Vec<(u64, OwnedFd)>,
}

impl DescriptorStream {
    pub(crate) fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, received: 0, pending: Vec::new() }
    }

    /// The descriptors of a frame that ends after so many bytes of the stream.
    pub(crate) fn of_frame(&mut self, end: u64) -> Vec<OwnedFd> {
        let own = self.pending.extract_if(.., |(at, _)| *at <= end);
        own.map(|(_, descriptor)| descriptor).collect()
    }

    /// All descriptors that have come: a request with images may be followed by other frames in
    /// the same read.
    pub(crate) fn take_all(&mut self) -> Vec<OwnedFd> {
        mem::take(&mut self.pending).into_iter().map(|(_, descriptor)| descriptor).collect()
    }

    /// Receives bytes, and keeps at most [`IMAGES_MAX`] descriptors.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(IMAGES_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        let stream = self.stream.as_ref();
        let received = stream.try_io(Interest::READABLE, || {
            let parts = &mut [IoSliceMut::new(into)];
            Ok(recvmsg(stream, parts, &mut beside, RecvFlags::CMSG_CLOEXEC)?)
        })?;
        self.received += received.bytes as u64;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                self.pending.extend(passed.map(|descriptor| (self.received, descriptor)));
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || self.pending.len() > IMAGES_MAX {
            self.pending.clear();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more than {IMAGES_MAX} descriptors came with one request"),
            ));
        }
        Ok(received.bytes)
    }
}

impl AsyncRead for DescriptorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.as_ref().poll_read_ready(context))?;
            match self.receive(into.initialize_unfilled()) {
                Ok(bytes) => {
                    into.advance(bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// An image whose announcement is valid: where its pixels come from.
#[derive(Debug)]
pub(crate) enum ExpectedImage {
    /// Sealed memory of this size.
    Memory { memory: OwnedFd, bytes: usize },
    /// Frames that follow the request.
    Inline { bytes: usize },
}

impl ExpectedImage {
    /// Bytes of its pixels.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Memory { bytes, .. } | Self::Inline { bytes } => *bytes,
        }
    }
}

/// How many bytes may follow a request that is refused.
pub(crate) fn may_follow(images: &[ImageInput]) -> usize {
    let inline = images.iter().any(|image| image.source == ImageSource::Inline);
    if inline { IMAGE_BYTES_MAX } else { 0 }
}

/// Where the pixels of each image come from, if the images are as they are announced. Else the
/// descriptors are closed.
///
/// # Errors
///
/// `Kind::Refused`.
pub(crate) fn check(
    images: &[ImageInput],
    descriptors: Vec<OwnedFd>,
) -> Result<Vec<ExpectedImage>, Failure> {
    let came = descriptors.len();
    let mut free: Vec<_> = descriptors.into_iter().map(Some).collect();
    let mut expected = Vec::new();
    for image in images {
        let bytes = image.bytes()?;
        expected.push(match image.source {
            ImageSource::Inline => ExpectedImage::Inline { bytes },
            ImageSource::Attached { index } => {
                let role = image.role.name();
                let slot = usize::try_from(index).ok().and_then(|index| free.get_mut(index));
                let Some(memory) = slot.and_then(Option::take) else {
                    return Err(Failure::refused(format!(
                        "the {role} is in descriptor {index}, expected one of the {came} that \
                         came, for no other image"
                    )));
                };
                check_memory(&memory, bytes).map_err(|found| {
                    Failure::refused(format!("the descriptor of the {role} {found}"))
                })?;
                ExpectedImage::Memory { memory, bytes }
            }
        });
    }
    match free.iter().flatten().count() {
        0 => Ok(expected),
        more => Err(Failure::refused(format!("{more} descriptors came that belong to no image"))),
    }
}

/// Whether a descriptor is sealed memory of this size.
fn check_memory(descriptor: &OwnedFd, bytes: usize) -> Result<(), String> {
    let seals = fcntl_get_seals(descriptor)
        .map_err(|_| "is not of a memfd, expected a sealed one".to_owned())?;
    if !seals.contains(SEALS) {
        return Err("is not sealed, expected F_SEAL_SEAL, SHRINK, GROW and WRITE".to_owned());
    }
    let size = fstat(descriptor).map_or(-1, |stat| stat.st_size);
    if usize::try_from(size) != Ok(bytes) {
        return Err(format!("has {size} bytes, expected {bytes}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};
    use zimg_protocol::messages::{ImageRole, PixelLayout};

    use super::*;

    const BYTES: usize = 3 * 64 * 80;

    fn memory(bytes: usize, seals: SealFlags) -> OwnedFd {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("image", flags).unwrap());
        file.write_all(&vec![7; bytes]).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file.into()
    }

    fn image(source: ImageSource) -> ImageInput {
        let (role, layout) = (ImageRole::Initial, PixelLayout::Rgb8);
        ImageInput { role, layout, width: 64, height: 80, source }
    }

    fn attached(index: u32) -> ImageInput {
        image(ImageSource::Attached { index })
    }

    fn refusal(images: &[ImageInput], descriptors: Vec<OwnedFd>) -> String {
        check(images, descriptors).unwrap_err().message
    }

    #[test]
    fn sealed_memory_of_the_announced_size_is_accepted() {
        let grey = ImageInput { layout: PixelLayout::L8, role: ImageRole::Mask, ..attached(1) };
        let images = [attached(0), grey, image(ImageSource::Inline)];
        let descriptors = vec![memory(BYTES, SEALS), memory(BYTES / 3, SEALS)];
        let expected = check(&images, descriptors).unwrap();
        let bytes: Vec<_> = expected.iter().map(ExpectedImage::bytes).collect();
        assert_eq!(bytes, [BYTES, BYTES / 3, BYTES]);
        assert!(matches!(expected[2], ExpectedImage::Inline { .. }));
        assert!(check(&[], Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn everything_else_is_refused_in_a_sentence() {
        let sealed = || memory(BYTES, SEALS);
        for (images, descriptors, said) in [
            (vec![attached(0)], vec![], "is in descriptor 0, expected one of the 0 that came"),
            (vec![attached(u32::MAX)], vec![sealed()], "is in descriptor 4294967295"),
            (vec![attached(0), attached(0)], vec![sealed()], "for no other image"),
            (vec![], vec![sealed()], "1 descriptors came that belong to no image"),
            (vec![attached(0)], vec![memory(BYTES, SealFlags::WRITE)], "is not sealed"),
            (vec![attached(0)], vec![memory(BYTES - 1, SEALS)], "has 15359 bytes, expected 15360"),
            (vec![attached(0)], vec![memory(BYTES + 1, SEALS)], "has 15361 bytes"),
            (vec![attached(0)], vec![File::open("/dev/zero").unwrap().into()], "is not of a memfd"),
            (vec![ImageInput { width: 65, ..attached(0) }], vec![sealed()], "is 65x80, expected"),
        ] {
            let found = refusal(&images, descriptors);
            assert!(found.contains(said), "{found} does not contain {said}");
        }
        let huge = ImageInput { width: u32::MAX, ..image(ImageSource::Inline) };
        assert!(refusal(&[huge], Vec::new()).contains("the initial image is 4294967295x80"));
        assert_eq!((may_follow(&[huge]), may_follow(&[attached(0)])), (IMAGE_BYTES_MAX, 0));
    }
}
