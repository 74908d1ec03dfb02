//! The store of detached jobs on the disk: an accepted job survives every crash until it is fetched
//! or has expired.

mod actor;
mod database;
mod directory;
mod error;
mod images;
mod job_store;
mod record;
mod record_codec;
mod record_v1;
mod reserve;
mod sync;

pub(crate) use self::actor::{ReadError, Store, StoreEvent, StoreRequest};
#[cfg(feature = "fuzzing")]
pub(crate) use self::database::jobs_in;
pub(crate) use self::directory::default_path;
pub(crate) use self::job_store::StoreContents;
pub(crate) use self::record::{JobEnd, JobRecord, StoredImage};

/// How many job ids are reserved at a time.
pub(crate) const IDS_RESERVED: u32 = 1000;

#[cfg(test)]
mod tests;
