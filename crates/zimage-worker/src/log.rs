//! The worker's log: standard error, which the supervisor reads line by line.

use std::fmt::Display;
use std::sync::{Mutex, OnceLock, PoisonError};

use zimg_system::log::{LogSink, Wait};

static LOG: OnceLock<Mutex<LogSink>> = OnceLock::new();

/// Writes one line. A supervisor that does not read, or is gone, costs the line and not the work.
pub(crate) fn line(text: impl Display) {
    // Before the lock: whatever a `Display` does, it holds nothing.
    let line = format!("{text}\n");
    let log = LOG.get_or_init(|| Mutex::new(LogSink::stderr()));
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.write(line.as_bytes(), Wait::Briefly) {
        match log.take_unreported() {
            0 => {}
            lost => {
                let line =
                    format!("{lost} lines of the worker's log were lost before the last one\n");
                log.write(line.as_bytes(), Wait::Briefly);
            }
        }
    }
}
