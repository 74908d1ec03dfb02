//! Writing to a log that may be gone, full or slow: nothing fails, nothing waits for long, and what
//! is lost is counted.

use std::panic::PanicHookInfo;

mod sink;
mod writer;

pub use self::sink::{LogSink, Wait};
pub use self::writer::LogWriter;

/// A panic in one line.
pub fn panic_line(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("no message").replace('\n', " ");
    match info.location() {
        Some(place) => format!("a bug, please report it: {message} ({place})"),
        None => format!("a bug, please report it: {message}"),
    }
}
