//! `zimg pull` with a server on this machine: what it fetches and where it puts it, and what it does
//! with a server that breaks off, lies or asks for secrets.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod cache;
mod fetching;
mod fixture;
mod hostile;
mod refusals;
#[path = "../cli/schema.rs"]
mod schema;
mod server;
