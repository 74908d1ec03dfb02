//! zimg-web before a daemon with the mock worker: its jobs and events, its users, hostile HTTP,
//! load, and times.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod edits;
mod figures;
mod hostile;
mod jobs;
mod load;
mod users;
