//! The GPU process: loads the model, draws what its supervisor asks for.
//!
//! It speaks `zimg_protocol` on file descriptor 0, a socket that `zimaged` made, and dies when
//! that closes. Nobody starts it by hand. A library only so that tests can build the program a
//! second time, with the feature `faults`.

mod args;
mod builtin;
mod commands;
mod control;
mod device;
mod exit;
mod failure;
#[cfg(feature = "faults")]
mod faults;
mod job;
mod link;
mod log;
mod memory;
pub mod preinit;
mod reports;
mod retry;
mod serve;
mod startup;
mod weights_channel;
mod wx_check;

use std::process::ExitCode;

use clap::Parser;
use zimg_protocol::Kind;

/// The program.
pub fn main() -> ExitCode {
    exit::at_a_panic();
    let args = args::Args::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        exit::now(if error.use_stderr() { Kind::Usage.exit_code() } else { 0 })
    });
    serve::run(&args)
}
