//! Framing: a length, a kind byte and a payload, whatever the kinds are. For [`crate::Frame`] and for
//! the private protocol of the daemon and its workers.

use std::io::{self, Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CodecError};
use crate::error::Failure;
use crate::limits::CHUNK_BYTES;

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

/// Reads a body (kind and payload) of at most `limit` bytes; `None` when the stream ends where a
/// frame could begin. Memory grows with what arrives, not with what is announced.
///
/// # Errors
///
/// `Io`, `Truncated` and `Length`; the stream is then of no more use.
pub fn read_body(from: &mut impl Read, limit: usize) -> Result<Option<Bytes>, FrameError> {
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
    Ok(Some(body.into()))
}

/// Writes the body that `encode` appends, length and all, in one `write_all`; does not flush.
///
/// # Errors
///
/// Those of `encode`, and `Io`.
pub fn write_body(
    to: &mut impl Write,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    let mut bytes = vec![0; 4];
    encode(&mut bytes)?;
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(to.write_all(&bytes)?)
}

/// The kind and the payload of a body.
///
/// # Errors
///
/// `Length` when it is empty or longer than a body may be.
pub fn split_kind(mut body: Bytes) -> Result<(u8, Bytes), FrameError> {
    let limit = 1 + CHUNK_BYTES;
    if body.is_empty() || body.len() > limit {
        return Err(FrameError::Length { length: body.len(), limit });
    }
    let kind = body.split_to(1)[0];
    Ok((kind, body))
}

/// The message that a payload of this kind is.
///
/// # Errors
///
/// `Malformed`.
pub fn decode_message<T: DeserializeOwned>(kind: u8, payload: &[u8]) -> Result<T, FrameError> {
    codec::decode(payload).map_err(|source| FrameError::Malformed { kind, source })
}

/// Appends a body of this kind whose payload is a message.
///
/// # Errors
///
/// `Malformed` when the payload would be longer than `limits::CHUNK_BYTES`.
pub fn encode_message<T: Serialize>(
    kind: u8,
    message: &T,
    body: &mut Vec<u8>,
) -> Result<(), FrameError> {
    body.push(kind);
    codec::encode_into(message, body).map_err(|source| FrameError::Malformed { kind, source })
}

/// Appends a body of this kind whose payload is these bytes.
///
/// # Errors
///
/// `Length` when the payload would be longer than `limits::CHUNK_BYTES`.
pub fn encode_bytes(kind: u8, payload: &[&[u8]], body: &mut Vec<u8>) -> Result<(), FrameError> {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    if length > CHUNK_BYTES {
        return Err(FrameError::Length { length: 1 + length, limit: 1 + CHUNK_BYTES });
    }
    body.push(kind);
    payload.iter().for_each(|part| body.extend_from_slice(part));
    Ok(())
}

/// Writes bytes as frames of this kind with at most `limits::CHUNK_BYTES` each.
///
/// # Errors
///
/// Writing failed.
pub fn write_chunks(to: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    write_chunks_of(to, kind, bytes, CHUNK_BYTES)
}

/// The same with at most `size` bytes each, for a direction with shorter frames.
///
/// # Errors
///
/// Writing failed.
pub fn write_chunks_of(to: &mut impl Write, kind: u8, bytes: &[u8], size: usize) -> io::Result<()> {
    for chunk in bytes.chunks(size) {
        let mut head = BytesMut::with_capacity(5);
        head.put_u32(u32::try_from(1 + chunk.len()).unwrap_or(u32::MAX));
        head.put_u8(kind);
        to.write_all(&head)?;
        to.write_all(chunk)?;
    }
    Ok(())
}

/// Fills `buffer` as far as the stream goes; returns how far.
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
