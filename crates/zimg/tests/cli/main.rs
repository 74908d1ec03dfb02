//! Tests of the whole program against a scripted daemon.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod batch;
mod config;
mod draw;
mod exit_codes;
mod fake;
#[path = "../../../../tests/src/folder.rs"]
pub mod folder;
mod generated_docs;
mod help;
mod inputs;
mod intake;
mod interrupt;
mod jobs;
mod json;
mod metadata;
mod models;
mod output;
mod paths;
mod prepare;
#[path = "../../../../tests/src/pty.rs"]
pub mod pty;
mod saving;
mod schema;
mod screen;
mod status;
mod terminal;
