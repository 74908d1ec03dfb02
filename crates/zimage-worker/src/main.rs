//! `zimage-worker`, the GPU process: loads the model, draws what its supervisor asks for.
//!
//! It speaks `zimg_protocol` on file descriptor 0, a socket that `zimaged` made, and dies when
//! that closes. Nobody starts it by hand.

mod args;
mod builtin;
mod commands;
mod device;
mod end;
mod failure;
mod job;
mod link;
mod log;
mod prepare;
mod reports;
mod serve;
mod wish;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    end::at_a_panic();
    serve::run(&args::Args::parse())
}
