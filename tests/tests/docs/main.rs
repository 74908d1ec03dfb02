//! What the pages say is so: every command in them runs, every link leads somewhere, and the
//! walk through zimg goes as it is written down.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod commands;
mod links;
mod markdown;
mod messages;
mod sentences;
mod shown;
mod tables;
mod walkthrough;
