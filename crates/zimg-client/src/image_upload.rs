//! Images that a request brings: as sealed memory, or inline for sockets that pass no descriptors.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use zimg_protocol::frame::kind;
use zimg_protocol::framing::write_chunks_of;
use zimg_protocol::limits::{IMAGE_CHUNK_BYTES, IMAGES_MAX};
use zimg_protocol::messages::{Generate, ImageInput, ImageRole, ImageSource, PixelLayout, Request};
use zimg_protocol::{Frame, FrameError};

/// An image for a request.
#[derive(Clone, Copy, Debug)]
pub struct ImageUpload<'a> {
    /// What the model does with it.
    pub role: ImageRole,
    /// How its pixels lie in memory.
    pub layout: PixelLayout,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Rows from the top, no padding.
    pub pixels: &'a [u8],
}

/// How images are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UploadMethod {
    /// As sealed memory whose descriptor is passed: nothing is copied through the socket.
    #[default]
    Memory,
    /// Through the socket.
    Inline,
}

/// Writes a request with its images.
pub(crate) fn write(
    stream: &mut UnixStream,
    mut request: Generate,
    images: &[ImageUpload<'_>],
    method: UploadMethod,
) -> Result<(), FrameError> {
    request.images = (0..).zip(images).map(|(index, image)| image.input(index, method)).collect();
    let request = Frame::Request(Request::Generate(request));
    match method {
        UploadMethod::Inline => {
            request.write(stream)?;
            for image in images {
                write_chunks_of(stream, kind::IMAGE, image.pixels, IMAGE_CHUNK_BYTES)?;
            }
            Ok(())
        }
        UploadMethod::Memory => {
            let memory = images.iter().map(ImageUpload::sealed);
            let memory = memory.collect::<io::Result<Vec<OwnedFd>>>()?;
            let mut bytes = Vec::new();
            request.write(&mut bytes)?;
            let sent = send_with(stream, &bytes, &memory)?;
            Ok(stream.write_all(&bytes[sent..])?)
        }
    }
}

/// Sends the first of the bytes with descriptors; returns how many were sent.
fn send_with(stream: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(IMAGES_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        let message = format!("a request has at most {IMAGES_MAX} images");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

impl ImageUpload<'_> {
    fn input(&self, index: u32, method: UploadMethod) -> ImageInput {
        let Self { role, layout, width, height, .. } = *self;
        let source = match method {
            UploadMethod::Memory => ImageSource::Attached { index },
            UploadMethod::Inline => ImageSource::Inline,
        };
        ImageInput { role, layout, width, height, source }
    }

    /// The pixels in memory that cannot change any more.
    fn sealed(&self) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("zimg-image", flags)?);
        file.write_all(self.pixels)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    }
}
