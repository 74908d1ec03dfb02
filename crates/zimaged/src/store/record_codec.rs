//! Encoding of a detached job's record, with the version of its layout in front.
//!
//! A record's bytes are a [`Body`] in the protocol's codec. As on the wire, variants are only
//! appended and never changed: every later version reads the old files (`tests/fixtures/store`).

use serde::{Deserialize, Serialize};
use zimg_protocol::codec;
use zimg_protocol::messages::JobId;

use super::error::{Damage, StoreError};
use super::record::JobRecord;
use super::record_v1::RecordV1;

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
