//! A detached job as it lies on the disk.
//!
//! A record's bytes are a [`Body`] in the protocol's codec. Its variants are only ever added at
//! the end, and what a variant holds never changes, as on the wire: an old file must be read for
//! ever (`tests/fixtures/store`).

use std::ops::Range;

use serde::{Deserialize, Serialize};
use zimg_protocol::limits::PROMPT_SHOWN;
use zimg_protocol::messages::{ImageInfo, JobId, Started, Submit, Timings};
use zimg_protocol::{Failure, codec};

use super::trouble::Trouble;

/// All that is known of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whose it is.
    pub uid: u32,
    /// What was asked for.
    pub submit: Submit,
    /// When, in seconds since 1970: for people, nothing is decided by it.
    pub accepted_unix_s: u64,
    /// What its defaults became, once an image of it is on the disk.
    pub started: Option<Started>,
    /// The images that are on the disk, from the first on.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub images: Vec<StoredImage>,
    /// How it ended, once it has.
    pub end: Option<End>,
}

/// An image whose pixels are in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredImage {
    /// Its frame.
    pub image: ImageInfo,
    /// CRC-32 of its pixels.
    pub crc: u32,
}

/// A job's end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    /// Where the time went, or why there are no (more) images.
    pub result: Result<Timings, Failure>,
    /// How many seconds daemons had kept this folder by then.
    pub lived_s: u64,
}

#[derive(Deserialize)]
enum Body {
    V1(Record),
}

/// The same, to be written.
#[derive(Serialize)]
enum Written<'a> {
    V1(&'a Record),
}

impl Record {
    /// A job that has just been asked for.
    pub(crate) fn new(uid: u32, submit: Submit, accepted_unix_s: u64) -> Self {
        Self { uid, submit, accepted_unix_s, started: None, images: Vec::new(), end: None }
    }

    /// The indices of its images.
    pub(crate) fn indices(&self) -> Range<u32> {
        0..u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    /// The same with only as much of its prompt as is shown in a list, if it has ended: many may
    /// be kept, and prompts may be long.
    pub(super) fn listed(mut self) -> Self {
        if self.end.is_some() {
            let draw = &mut self.submit.draw;
            if let Some((end, _)) = draw.prompt.char_indices().nth(PROMPT_SHOWN) {
                draw.prompt.truncate(end);
                draw.prompt.shrink_to_fit();
            }
            draw.negative = None;
        }
        self
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        codec::encode_into(&Written::V1(self), &mut bytes)
            .map_err(|error| Trouble::Damaged(format!("a record cannot be written: {error}")))?;
        Ok(bytes)
    }

    /// The record that `bytes` are.
    pub(crate) fn decode(job: JobId, bytes: &[u8]) -> Result<Self, Trouble> {
        match codec::decode(bytes) {
            Ok(Body::V1(record)) => Ok(record),
            Err(error) => Err(Trouble::Damaged(format!("job {job} cannot be read: {error}"))),
        }
    }
}
