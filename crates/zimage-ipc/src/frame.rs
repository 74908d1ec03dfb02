//! Frames between supervisor and worker.

use std::io::{self, Read, Write};

use bytes::Bytes;
use zimg_protocol::FrameError;
use zimg_protocol::framing;

use crate::messages::{Command, Report};

/// The kind bytes of this protocol.
pub mod kind {
    /// Supervisor to worker: a `Command`.
    pub const COMMAND: u8 = 0x03;
    /// Worker to supervisor: a `Report`.
    pub const REPORT: u8 = 0x04;
    /// The next bytes of the image announced last.
    pub const PIXELS: u8 = zimg_protocol::frame::kind::PIXELS;
    /// The next bytes of the latents announced last.
    pub const LATENTS: u8 = 0x11;
    /// The next bytes of a job's image inputs.
    pub const IMAGE: u8 = zimg_protocol::frame::kind::IMAGE;
}

/// One frame between supervisor and worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerFrame {
    /// `kind::COMMAND`
    Command(Command),
    /// `kind::REPORT`
    Report(Report),
    /// `kind::PIXELS`: at most `limits::CHUNK_BYTES` of the image announced last.
    Pixels(Bytes),
    /// `kind::LATENTS`: at most `limits::CHUNK_BYTES` of the latents announced last.
    Latents(Bytes),
    /// `kind::IMAGE`: at most `limits::CHUNK_BYTES` of one of the job's image inputs, in their order.
    Image(Bytes),
}

impl WorkerFrame {
    /// The kind byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Command(_) => kind::COMMAND,
            Self::Report(_) => kind::REPORT,
            Self::Pixels(_) => kind::PIXELS,
            Self::Latents(_) => kind::LATENTS,
            Self::Image(_) => kind::IMAGE,
        }
    }

    /// The frame's body: kind and payload, without the length.
    ///
    /// # Errors
    ///
    /// `Malformed` or `Length` when the payload would be longer than `limits::CHUNK_BYTES`.
    pub fn encode(&self) -> Result<Bytes, FrameError> {
        let mut body = Vec::with_capacity(256);
        self.encode_into(&mut body)?;
        Ok(body.into())
    }

    /// The frame whose body this is. Pixels, latents and images are not copied.
    ///
    /// # Errors
    ///
    /// All of [`FrameError`] but `Io` and `Truncated`.
    pub fn decode(body: Bytes) -> Result<Self, FrameError> {
        let (kind, payload) = framing::split_kind(body)?;
        match kind {
            kind::COMMAND => framing::decode_message(kind, &payload).map(Self::Command),
            kind::REPORT => framing::decode_message(kind, &payload).map(Self::Report),
            kind::PIXELS => Ok(Self::Pixels(payload)),
            kind::LATENTS => Ok(Self::Latents(payload)),
            kind::IMAGE => Ok(Self::Image(payload)),
            other => Err(FrameError::Kind(other)),
        }
    }

    /// Writes the frame, length and all, in one `write_all`; does not flush.
    ///
    /// # Errors
    ///
    /// As [`WorkerFrame::encode`], and `Io`.
    pub fn write(&self, to: &mut impl Write) -> Result<(), FrameError> {
        framing::write_body(to, |body| self.encode_into(body))
    }

    /// Reads one frame with a body of at most `limit` bytes; `None` when the stream ends where a
    /// frame could begin.
    ///
    /// # Errors
    ///
    /// All of [`FrameError`]; the stream is then of no more use.
    pub fn read(from: &mut impl Read, limit: usize) -> Result<Option<Self>, FrameError> {
        framing::read_body(from, limit)?.map(Self::decode).transpose()
    }

    fn encode_into(&self, body: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            Self::Command(message) => framing::encode_message(self.kind(), message, body),
            Self::Report(message) => framing::encode_message(self.kind(), message, body),
            Self::Pixels(bytes) | Self::Latents(bytes) | Self::Image(bytes) => {
                framing::encode_bytes(self.kind(), &[bytes], body)
            }
        }
    }
}

/// Writes latents as `kind::LATENTS` frames of at most `limits::CHUNK_BYTES`.
///
/// # Errors
///
/// Writing failed.
pub fn write_latents(to: &mut impl Write, latents: &[u8]) -> io::Result<()> {
    framing::write_chunks(to, kind::LATENTS, latents)
}

/// Writes the pixels of image inputs as `kind::IMAGE` frames of at most `limits::CHUNK_BYTES`, each
/// with bytes of one image.
///
/// # Errors
///
/// Writing failed.
pub fn write_images<B: AsRef<[u8]>>(to: &mut impl Write, images: &[B]) -> io::Result<()> {
    images.iter().try_for_each(|pixels| framing::write_chunks(to, kind::IMAGE, pixels.as_ref()))
}
