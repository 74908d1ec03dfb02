//! The record of a detached job on the disk.
//!
//! A record's bytes are a [`Body`] in the protocol's codec. As on the wire, variants are only
//! appended and never changed: every later version reads the old files (`tests/fixtures/store`).

use std::ops::Range;

use serde::{Deserialize, Serialize};
use zimg_protocol::limits::PROMPT_SHOWN;
use zimg_protocol::messages::{Generate, ImageInfo, JobId, Started, Timings};
use zimg_protocol::{Failure, codec};

use super::error::{Damage, StoreError};
use super::record_v1::RecordV1;

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    /// The user id of its owner.
    pub uid: u32,
    /// The request.
    pub submit: Generate,
    /// When it was accepted, in seconds since 1970; only shown.
    pub accepted_unix_s: u64,
    /// The resolved defaults, once an image of it is on the disk.
    pub started: Option<Started>,
    /// The images on the disk, from the first on.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub images: Vec<StoredImage>,
    /// How it ended, once it has.
    pub end: Option<JobEnd>,
}

/// An image whose pixels are in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredImage {
    /// Index, seed, size and length.
    pub image: ImageInfo,
    /// CRC-32 of the pixels.
    pub crc: u32,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobEnd {
    /// The timings, or why there are no (more) images.
    pub result: Result<Timings, Failure>,
    /// The directory's age in seconds at that time.
    pub lived_s: u64,
}

#[derive(Deserialize)]
enum Body {
    V1(Box<RecordV1>),
    V2(Box<JobRecord>),
}

/// [`Body`] for encoding, by reference.
#[derive(Serialize)]
enum BodyRef<'a> {
    #[expect(dead_code, reason = "a variant's place is its number")]
    V1,
    V2(&'a JobRecord),
}

impl JobRecord {
    /// A new job.
    pub(crate) fn new(uid: u32, submit: Generate, accepted_unix_s: u64) -> Self {
        Self { uid, submit, accepted_unix_s, started: None, images: Vec::new(), end: None }
    }

    /// The indices of its stored images.
    pub(crate) fn indices(&self) -> Range<u32> {
        0..u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    /// The record as it is held in memory: of an ended job only as much of the prompt as lists
    /// show, because there may be many of them with long prompts.
    pub(super) fn listed(mut self) -> Self {
        if self.end.is_some() {
            let draw = &mut self.submit.params;
            if let Some((end, _)) = draw.prompt.char_indices().nth(PROMPT_SHOWN) {
                draw.prompt.truncate(end);
                draw.prompt.shrink_to_fit();
            }
            draw.negative = None;
        }
        self
    }

    /// Encodes the record.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        codec::encode_into(&BodyRef::V2(self), &mut bytes)
            .map_err(|error| Damage::Encoding(error.to_string()))?;
        Ok(bytes)
    }

    /// Decodes a record.
    pub(crate) fn decode(job: JobId, bytes: &[u8]) -> Result<Self, StoreError> {
        match codec::decode(bytes) {
            Ok(Body::V1(record)) => Ok((*record).into()),
            Ok(Body::V2(record)) => Ok(*record),
            Err(error) => Err(Damage::Record { job, reason: error.to_string() }.into()),
        }
    }
}
