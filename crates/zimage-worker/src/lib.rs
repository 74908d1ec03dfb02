//! The GPU process: loads the model, draws what its supervisor asks for.
//!
//! It speaks `zimg_protocol` on file descriptor 0, a socket that `zimaged` made, and dies when
//! that closes. Nobody starts it by hand. A library only so that tests can build the program a
//! second time, with the feature `faults`.

mod args;
mod builtin;
mod commands;
mod device;
pub mod early;
mod end;
mod executable;
mod failure;
#[cfg(feature = "faults")]
mod faults;
mod job;
mod keeper;
mod link;
mod log;
mod memory;
mod prepare;
mod reports;
mod serve;
mod stage;
mod wish;

use std::process::ExitCode;

use clap::Parser;
use zimg_protocol::Kind;

/// The program.
pub fn main() -> ExitCode {
    end::at_a_panic();
    let args = args::Args::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        end::now(if error.use_stderr() { Kind::Usage.exit_code() } else { 0 })
    });
    serve::run(&args)
}
