//! Shared code of the whole-program tests: the programs, a daemon in a folder of its own, parameters
//! of an image. No test sleeps: readiness comes by `sd_notify`, states are polled.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a helper fails the test that uses it by panicking"
)]

mod daemon;
mod folder;
pub mod fuzzing;
mod ledger;
pub mod mock;
mod programs;
mod pty;
mod raw;
mod store;
mod web;
mod worker;

pub use daemon::{Daemon, Options, faulty_starts, finish, lives, mock_worker, wait_until};
pub use folder::{copied, copy};
pub use ledger::{Ledger, Seeded};
pub use programs::{built_worker, faulty_worker, program};
pub use pty::written_to;
pub use raw::Raw;
pub use store::Store;
pub use web::{Answer, Event, Events, Web, field};
pub use worker::{Run, Snapshot, Worker};
