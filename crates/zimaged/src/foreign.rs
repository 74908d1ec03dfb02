//! Ways in for foreign bytes, where they are tried by the million (`tests/fuzz`): a client and a
//! worker that say anything, and files of jobs that hold anything. Nothing else uses them.

use std::path::Path;

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use zimg_protocol::{Failure, Frame};

use crate::client::codec;
use crate::store::{Record, jobs_in};
use crate::supervisor::conversation;

/// The frames that a daemon finds in what a client sends in pieces of so many bytes, until it ends
/// or makes no sense.
pub fn client_says(bytes: &[u8], piece: usize) -> Vec<Frame> {
    let (mut codec, mut waiting, mut found) = (codec(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        waiting.extend_from_slice(piece);
        loop {
            match codec.decode(&mut waiting) {
                Ok(Some(body)) => match Frame::decode(body.freeze()) {
                    Ok(frame) => found.push(frame),
                    Err(_) => return found,
                },
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// All that each of two clients with a job is told, from acceptance to the end, by a daemon whose
/// worker says these bytes and then dies: its first job is an image pair with previews, the second
/// one, of another user, is in no hurry.
///
/// # Errors
///
/// The system has no room for a runtime.
pub fn worker_says(bytes: &[u8]) -> std::io::Result<[Vec<Frame>; 2]> {
    conversation(bytes)
}

/// A job's record as it lies on the disk, read and written again; `None` if it is none.
pub fn record_again(bytes: &[u8]) -> Option<Vec<u8>> {
    Record::decode(1, bytes).and_then(|record| record.encode()).ok()
}

/// How many jobs are in a file, as the daemon reads it at its start.
///
/// # Errors
///
/// Whatever keeps the file from being trusted or read.
pub fn jobs_in_file(file: &Path) -> Result<usize, Failure> {
    jobs_in(file)
}
