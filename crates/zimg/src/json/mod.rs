//! `--json` output: `{"v":1,"event":…}` lines on standard output, and the objects that several
//! events share. Each command defines its own events.
//!
//! `docs/cli.md` is the reference and `docs/zimg-json.schema.json` the schema; a test holds every
//! event to it. Fields are added, never changed. Images count from 1, as in file names.

mod failure;
mod line;
mod path;
mod worker_state;

pub(crate) use failure::{FailedEvent, FailureFields};
pub(crate) use line::print;
pub(crate) use path::PathFields;
pub(crate) use worker_state::WorkerFields;
