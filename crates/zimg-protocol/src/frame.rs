//! Frames: `u32` length, big endian, of what follows │ `u8` kind │ payload.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::error::{Failure, Kind};
use crate::framing::{self, FrameError};
use crate::messages::{Event, ReceivedGenerate, Request};

/// The kind byte. From 0xF0 on the layouts are frozen: valid in every major version.
pub mod kind {
    /// Client to daemon: a `Request`.
    pub const REQUEST: u8 = 0x01;
    /// Daemon to client: an `Event`.
    pub const EVENT: u8 = 0x02;
    /// The next bytes of the image announced last; no bincode.
    pub const PIXELS: u8 = 0x10;
    /// The next bytes of an image that a request brings; no bincode.
    pub const IMAGE: u8 = 0x12;
    /// Frozen: `u16` code, big endian (an exit code) │ UTF-8 text. Also valid before Welcome;
    /// the connection ends after it.
    pub const ERROR: u8 = 0xFF;
}

/// The number of `Request::Generate`.
const GENERATE: [u8; 4] = [0; 4];

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// `kind::REQUEST`
    Request(Request),
    /// `kind::EVENT`
    Event(Event),
    /// `kind::PIXELS`: at most `limits::CHUNK_BYTES` of the image announced last.
    Pixels(Bytes),
    /// `kind::IMAGE`: at most `limits::IMAGE_CHUNK_BYTES` of the images that the request brings.
    Image(Bytes),
    /// `kind::ERROR`
    Error(ErrorFrame),
}

/// The frozen last word before a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorFrame {
    /// An exit code, as [`Kind::exit_code`] has them.
    pub code: u16,
    /// One sentence.
    pub text: String,
}

impl From<&Failure> for ErrorFrame {
    fn from(failure: &Failure) -> Self {
        Self { code: failure.kind.exit_code().into(), text: failure.message.clone() }
    }
}

impl From<ErrorFrame> for Failure {
    fn from(error: ErrorFrame) -> Self {
        Self::new(Kind::from_exit_code(error.code).unwrap_or(Kind::Internal), error.text)
    }
}

impl Frame {
    /// The kind byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Request(_) => kind::REQUEST,
            Self::Event(_) => kind::EVENT,
            Self::Pixels(_) => kind::PIXELS,
            Self::Image(_) => kind::IMAGE,
            Self::Error(_) => kind::ERROR,
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

    /// The frame whose body (kind and payload, without the length) this is. Pixels are not
    /// copied.
    ///
    /// # Errors
    ///
    /// All of [`FrameError`] but `Io` and `Truncated`.
    pub fn decode(body: Bytes) -> Result<Self, FrameError> {
        let (kind, body) = framing::split_kind(body)?;
        match kind {
            kind::REQUEST => match body.split_first_chunk() {
                // Its parameters may be of a later version, which is no fault of the message.
                Some((&GENERATE, rest)) => {
                    let received: ReceivedGenerate = framing::decode_message(kind, rest)?;
                    let generate = received.understood().map_err(FrameError::Refused)?;
                    Ok(Self::Request(Request::Generate(generate)))
                }
                _ => framing::decode_message(kind, &body).map(Self::Request),
            },
            kind::EVENT => framing::decode_message(kind, &body).map(Self::Event),
            kind::PIXELS => Ok(Self::Pixels(body)),
            kind::IMAGE => Ok(Self::Image(body)),
            kind::ERROR => match body.split_first_chunk() {
                Some((code, text)) => Ok(Self::Error(ErrorFrame {
                    code: u16::from_be_bytes(*code),
                    text: String::from_utf8_lossy(text).into_owned(),
                })),
                None => Err(FrameError::ErrorFrame),
            },
            other => Err(FrameError::Kind(other)),
        }
    }

    /// Writes the frame, length and all, in one `write_all`; does not flush.
    ///
    /// # Errors
    ///
    /// As [`Frame::encode`], and `Io`.
    pub fn write(&self, to: &mut impl Write) -> Result<(), FrameError> {
        framing::write_body(to, |body| self.encode_into(body))
    }

    /// Reads one frame with a body of at most `limit` bytes; `None` when the stream ends where a
    /// frame could begin. Memory grows with what arrives, not with what is announced.
    ///
    /// # Errors
    ///
    /// All of [`FrameError`]; the stream is then of no more use.
    pub fn read(from: &mut impl Read, limit: usize) -> Result<Option<Self>, FrameError> {
        framing::read_body(from, limit)?.map(Self::decode).transpose()
    }

    fn encode_into(&self, body: &mut Vec<u8>) -> Result<(), FrameError> {
        let kind = self.kind();
        match self {
            Self::Request(message) => framing::encode_message(kind, message, body),
            Self::Event(message) => framing::encode_message(kind, message, body),
            Self::Pixels(bytes) | Self::Image(bytes) => framing::encode_bytes(kind, &[bytes], body),
            Self::Error(error) => {
                let code = error.code.to_be_bytes();
                framing::encode_bytes(kind, &[&code, error.text.as_bytes()], body)
            }
        }
    }
}

/// Writes an image's pixels as `kind::PIXELS` frames of at most `limits::CHUNK_BYTES`.
///
/// # Errors
///
/// Writing failed.
pub fn write_pixels(to: &mut impl Write, pixels: &[u8]) -> io::Result<()> {
    framing::write_chunks(to, kind::PIXELS, pixels)
}
