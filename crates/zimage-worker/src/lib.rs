//! The GPU process: loads the model and generates what its supervisor asks for.
//!
//! It speaks `zimg_protocol` on file descriptor 0, a socket that `zimaged` made, and ends when that
//! closes. Users do not start it. It is a library only so that tests can build the program a second
//! time, with the feature `faults`.

mod args;
mod builtin;
mod commands;
mod control;
mod device;
mod enlarge;
mod exit;
mod failure;
#[cfg(feature = "faults")]
mod faults;
mod job;
mod link;
mod log;
mod loras;
mod memory;
mod oom_retry;
mod planner;
#[doc(hidden)]
pub mod preinit;
mod rates;
mod reports;
mod serve;
mod stage;
mod startup;
mod warmup;
mod weights_channel;
mod wx_check;

use std::process::ExitCode;

use clap::Parser;
use zimg_protocol::Kind;
use zimg_system::{processes, signals, stack};

/// The program.
pub fn main() -> ExitCode {
    signals::survive_log_files_and_terminals();
    exit::abort_on_panic();
    stack::with_stack(run).unwrap_or_else(|error| {
        log::line(format_args!("cannot start a thread: {}", processes::explain(&error)));
        exit::now(Kind::Internal.exit_code())
    })
}

fn run() -> ExitCode {
    let args = args::Args::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        exit::now(if error.use_stderr() { Kind::Usage.exit_code() } else { 0 })
    });
    serve::run(&args)
}
