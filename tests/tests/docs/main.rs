//! Docs as tests: commands run, links have targets, messages exist, and the walkthrough runs as
//! written.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod commands;
mod events;
mod links;
mod markdown;
mod messages;
mod sentences;
mod shown;
mod tables;
mod verified;
mod walkthrough;
