//! Signals that the kernel answers a write with: blocked, the write fails and the process goes on.

use nix::sys::signal::{SigSet, Signal};

/// Turns SIGXFSZ into the error `EFBIG` (signal(7), write(2)): a log file that reaches `ulimit -f`
/// does not end the program. Call it before any thread starts; threads inherit it.
pub fn survive_file_size_limit() {
    block(&[Signal::SIGXFSZ]);
}

/// The same, and lets a program in the background write to a terminal whose `tostop` is set
/// (termios(3)): SIGTTOU would stop it.
pub fn survive_log_files_and_terminals() {
    block(&[Signal::SIGXFSZ, Signal::SIGTTOU]);
}

fn block(signals: &[Signal]) {
    // It fails for an invalid argument only.
    let _ = SigSet::from_iter(signals.iter().copied()).thread_block();
}
