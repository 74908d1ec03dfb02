//! Checkpoints on disk: which are sound, which are not, and what is said of them.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod adapters;
mod copy;
#[path = "../../../../tests/src/folder.rs"]
pub mod folder;
mod folders;
mod layouts;
mod prepare;
mod verify;
