//! Frames: `u32` length, big endian, of what follows │ `u8` kind │ payload.

use std::io::{self, Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use crate::codec::{self, CodecError};
use crate::error::{Failure, Kind};
use crate::limits::CHUNK_BYTES;
use crate::messages::{Command, Event, ReceivedGenerate, Report, Request};

/// The kind byte. From 0xF0 on the layouts are frozen: valid in every major version.
pub mod kind {
    /// Client to daemon: a `Request`.
    pub const REQUEST: u8 = 0x01;
    /// Daemon to client: an `Event`.
    pub const EVENT: u8 = 0x02;
    /// Supervisor to worker: a `Command`.
    pub const COMMAND: u8 = 0x03;
    /// Worker to supervisor: a `Report`.
    pub const REPORT: u8 = 0x04;
    /// The next bytes of the image announced last; no bincode.
    pub const PIXELS: u8 = 0x10;
    /// The next bytes of an image that a request brings; no bincode.
    pub const IMAGE: u8 = 0x12;
    /// The next bytes of the latents announced last; no bincode. Between daemon and worker.
    pub const LATENTS: u8 = 0x11;
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
    /// `kind::COMMAND`
    Command(Command),
    /// `kind::REPORT`
    Report(Report),
    /// `kind::PIXELS`: at most `limits::CHUNK_BYTES` of the image announced last.
    Pixels(Bytes),
    /// `kind::IMAGE`: at most `limits::IMAGE_CHUNK_BYTES` of the images that the request brings.
    Image(Bytes),
    /// `kind::LATENTS`: at most `limits::CHUNK_BYTES` of the latents announced last.
    Latents(Bytes),
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

/// Why there is no frame. After `Refused` the next frame can be read; after all others the
/// connection is of no more use, and all but `Io` mean that the peer breaks the protocol.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Reading or writing failed, or timed out.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The stream ended within a frame.
    #[error("the connection ended in the middle of a message")]
    Truncated,
    /// The frame is longer than its direction allows, or empty.
    #[error("a message of {length} bytes is not possible, only 1 to {limit}")]
    Length {
        /// Announced bytes.
        length: usize,
        /// Allowed bytes.
        limit: usize,
    },
    /// No such kind in this version.
    #[error("message kind {0:#04x} is unknown")]
    Kind(u8),
    /// The payload is not what its kind says.
    #[error("a message of kind {kind:#04x} is malformed ({source})")]
    Malformed {
        /// The kind byte.
        kind: u8,
        /// What is wrong with it.
        source: CodecError,
    },
    /// A whole `Request::Generate` that this version does not take; the connection can go on.
    #[error("{0}")]
    Refused(Failure),
    /// A frozen error frame shorter than its code.
    #[error("an error message without a code")]
    ErrorFrame,
}

impl FrameError {
    /// Whether it is a read or write that ran into its timeout.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Io(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }
}

impl Frame {
    /// The kind byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Request(_) => kind::REQUEST,
            Self::Event(_) => kind::EVENT,
            Self::Command(_) => kind::COMMAND,
            Self::Report(_) => kind::REPORT,
            Self::Pixels(_) => kind::PIXELS,
            Self::Image(_) => kind::IMAGE,
            Self::Latents(_) => kind::LATENTS,
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
    pub fn decode(mut body: Bytes) -> Result<Self, FrameError> {
        let limit = 1 + CHUNK_BYTES;
        if body.is_empty() || body.len() > limit {
            return Err(FrameError::Length { length: body.len(), limit });
        }
        let kind = body.split_to(1)[0];
        let malformed = |source| FrameError::Malformed { kind, source };
        match kind {
            kind::REQUEST => match body.split_first_chunk() {
                // Its parameters may be of a later version, which is no fault of the message.
                Some((&GENERATE, rest)) => {
                    let received: ReceivedGenerate = codec::decode(rest).map_err(malformed)?;
                    let generate = received.understood().map_err(FrameError::Refused)?;
                    Ok(Self::Request(Request::Generate(generate)))
                }
                _ => codec::decode(&body).map(Self::Request).map_err(malformed),
            },
            kind::EVENT => codec::decode(&body).map(Self::Event).map_err(malformed),
            kind::COMMAND => codec::decode(&body).map(Self::Command).map_err(malformed),
            kind::REPORT => codec::decode(&body).map(Self::Report).map_err(malformed),
            kind::PIXELS => Ok(Self::Pixels(body)),
            kind::IMAGE => Ok(Self::Image(body)),
            kind::LATENTS => Ok(Self::Latents(body)),
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
        let mut bytes = vec![0; 4];
        self.encode_into(&mut bytes)?;
        let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        Ok(to.write_all(&bytes)?)
    }

    /// Reads one frame with a body of at most `limit` bytes; `None` when the stream ends where a
    /// frame could begin. Memory grows with what arrives, not with what is announced.
    ///
    /// # Errors
    ///
    /// All of [`FrameError`]; the stream is then of no more use.
    pub fn read(from: &mut impl Read, limit: usize) -> Result<Option<Self>, FrameError> {
        let mut length = [0; 4];
        match read_full(from, &mut length)? {
            0 => return Ok(None),
            4 => {}
            _ => return Err(FrameError::Truncated),
        }
        let length = u32::from_be_bytes(length) as usize;
        if !(1..=limit).contains(&length) {
            return Err(FrameError::Length { length, limit });
        }
        let mut body = Vec::with_capacity(length.min(64 << 10));
        if from.take(length as u64).read_to_end(&mut body)? < length {
            return Err(FrameError::Truncated);
        }
        Self::decode(body.into()).map(Some)
    }

    fn encode_into(&self, body: &mut Vec<u8>) -> Result<(), FrameError> {
        body.push(self.kind());
        match self {
            Self::Request(message) => put(self.kind(), message, body),
            Self::Event(message) => put(self.kind(), message, body),
            Self::Command(message) => put(self.kind(), message, body),
            Self::Report(message) => put(self.kind(), message, body),
            Self::Pixels(bytes) | Self::Image(bytes) | Self::Latents(bytes) => {
                fits(bytes.len())?;
                body.extend_from_slice(bytes);
                Ok(())
            }
            Self::Error(error) => {
                fits(2 + error.text.len())?;
                body.extend_from_slice(&error.code.to_be_bytes());
                body.extend_from_slice(error.text.as_bytes());
                Ok(())
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
    write_chunks(to, kind::PIXELS, pixels)
}

/// Writes latents as `kind::LATENTS` frames of at most `limits::CHUNK_BYTES`.
///
/// # Errors
///
/// Writing failed.
pub fn write_latents(to: &mut impl Write, latents: &[u8]) -> io::Result<()> {
    write_chunks(to, kind::LATENTS, latents)
}

fn write_chunks(to: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.chunks(CHUNK_BYTES) {
        let mut head = BytesMut::with_capacity(5);
        head.put_u32(u32::try_from(1 + chunk.len()).unwrap_or(u32::MAX));
        head.put_u8(kind);
        to.write_all(&head)?;
        to.write_all(chunk)?;
    }
    Ok(())
}

fn put<T: Serialize>(kind: u8, message: &T, body: &mut Vec<u8>) -> Result<(), FrameError> {
    codec::encode_into(message, body).map_err(|source| FrameError::Malformed { kind, source })
}

fn fits(payload: usize) -> Result<(), FrameError> {
    if payload > CHUNK_BYTES {
        return Err(FrameError::Length { length: 1 + payload, limit: 1 + CHUNK_BYTES });
    }
    Ok(())
}

/// Fills `buffer`, or as much of it as there is; says how much.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
