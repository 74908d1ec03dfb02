//! Standard error, where progress, warnings and failures go: what it does not take is lost, and the
//! image is not.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use zimg_system::log::{LogSink, Wait};

static STDERR: OnceLock<Mutex<LogSink>> = OnceLock::new();

/// Writes lines. If earlier ones were lost, their number follows.
pub(crate) fn say(text: &str) {
    let mut stderr = hold();
    if stderr.write(text.as_bytes(), Wait::Briefly) {
        match stderr.take_unreported() {
            0 => {}
            lost => {
                let text = format!("zimg: {lost} earlier messages could not be shown\n");
                stderr.write(text.as_bytes(), Wait::Briefly);
            }
        }
    }
}

/// Writes what is replaced soon: a progress line or an image in the terminal.
pub(crate) fn show(text: &str) {
    hold().write_uncounted(text.as_bytes(), Wait::Briefly);
}

fn hold() -> MutexGuard<'static, LogSink> {
    let stderr = STDERR.get_or_init(|| Mutex::new(LogSink::stderr()));
    stderr.lock().unwrap_or_else(PoisonError::into_inner)
}
