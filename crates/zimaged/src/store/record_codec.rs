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
    V3(Box<JobRecord>, Inputs),
}

/// The checksums of the request's images.
#[derive(Deserialize)]
struct Inputs(#[serde(deserialize_with = "codec::as_they_come")] Vec<u32>);

/// [`Body`] for encoding, by reference.
#[derive(Serialize)]
enum BodyRef<'a> {
    #[expect(dead_code, reason = "a variant's place is its number")]
    V1,
    /// Of requests without images, which earlier versions read, too.
    V2(&'a JobRecord),
    V3(&'a JobRecord, &'a [u32]),
}

impl JobRecord {
    /// Encodes the record.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let body = match self.submit.images.is_empty() {
            true => BodyRef::V2(self),
            false => BodyRef::V3(self, &self.inputs),
        };
        let mut bytes = Vec::new();
        codec::encode_into(&body, &mut bytes)
            .map_err(|error| Damage::Encoding(error.to_string()))?;
        Ok(bytes)
    }

    /// Decodes a record.
    pub(crate) fn decode(job: JobId, bytes: &[u8]) -> Result<Self, StoreError> {
        let record = match codec::decode(bytes) {
            Ok(Body::V1(record)) => (*record).into(),
            Ok(Body::V2(record)) => *record,
            Ok(Body::V3(record, Inputs(inputs))) => Self { inputs, ..*record },
            Err(error) => return Err(Damage::Record { job, reason: error.to_string() }.into()),
        };
        if record.submit.images.len() != record.inputs.len() {
            let reason = format!(
                "its request has {} images, and {} of them have a checksum",
                record.submit.images.len(),
                record.inputs.len()
            );
            return Err(Damage::Record { job, reason }.into());
        }
        Ok(record)
    }
}
