//! The main thread's stack, which `ulimit -s` limits: a program that needs more runs on its own.

use std::io;
use std::process::ExitCode;
use std::thread;

use nix::sys::signal::SigSet;
use rustix::process::{Resource, getrlimit};

/// The stack of a main thread on most machines, and the one that is made here. Parsing a command line
/// takes 300 KiB without optimisation.
pub const STACK_BYTES: usize = 8 << 20;

/// Whether `ulimit -s` allows less than that.
#[must_use]
pub fn is_short() -> bool {
    getrlimit(Resource::Stack).current.is_some_and(|limit| limit < STACK_BYTES as u64)
}

/// Runs the program, on a stack of its own where the main thread's is short. The main thread only waits
/// then, and takes no signal.
///
/// # Errors
///
/// The thread cannot be started.
pub fn with_stack(program: fn() -> ExitCode) -> io::Result<ExitCode> {
    if !is_short() {
        return Ok(program());
    }
    let thread = thread::Builder::new().name("main".to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(program)?;
    // It fails for an invalid argument only.
    let _ = SigSet::all().thread_block();
    // After a panic, as std ends a program.
    Ok(thread.join().unwrap_or(ExitCode::from(101)))
}
