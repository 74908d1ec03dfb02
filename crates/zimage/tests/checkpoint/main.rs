//! Checkpoints as people have them, whole and damaged: each fault is one sentence.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test's helpers fail the test"
)]

mod allocation;
mod configurations;
mod encodings;
mod files;
mod folder;
mod layouts;
mod memory;
mod retained;
mod tensors;
