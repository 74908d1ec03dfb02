//! Entry points for fuzzing (`tests/fuzz`, feature `fuzzing`): parsers of bytes from clients, from
//! the worker and from the disk.

use std::path::Path;

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use zimg_protocol::{Failure, Frame};

use crate::connection::codec;
use crate::store::{JobRecord, jobs_in};
use crate::supervisor::fuzzing::conversation;

/// Decodes what a client sends in pieces of `piece` bytes, and returns the frames up to the end or
/// the first error.
pub fn decode_client_bytes(bytes: &[u8], piece: usize) -> Vec<Frame> {
    let (mut codec, mut buffer, mut frames) = (codec(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(body)) => match Frame::decode(body.freeze()) {
                    Ok(frame) => frames.push(frame),
                    Err(_) => return frames,
                },
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}

/// Runs a daemon whose worker sends `bytes` and then exits, with two clients: the first asks for
/// two images with previews, the second, another user, for a batch job. Returns what each client
/// is sent from acceptance to the end.
///
/// # Errors
///
/// The system cannot create a runtime.
pub fn run_worker_bytes(bytes: &[u8]) -> std::io::Result<[Vec<Frame>; 2]> {
    conversation(bytes)
}

/// Decodes a record of the job store and encodes it again; `None` if it is invalid.
pub fn reencode_record(bytes: &[u8]) -> Option<Vec<u8>> {
    JobRecord::decode(1, bytes).and_then(|record| record.encode()).ok()
}

/// All fields of a record of the job store, as text; `None` if it is invalid.
pub fn describe_record(bytes: &[u8]) -> Option<String> {
    JobRecord::decode(1, bytes).ok().map(|record| format!("{record:?}"))
}

/// The number of jobs in a job database, opened as the daemon opens it.
///
/// # Errors
///
/// The file is damaged or cannot be read.
pub fn count_stored_jobs(file: &Path) -> Result<usize, Failure> {
    jobs_in(file)
}
