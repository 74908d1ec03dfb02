//! The log: best effort on standard error. It has no prompts, bodies or keys.

use std::io::{IsTerminal, stderr};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use zimg_system::log::{LogSink, LogWriter, panic_line};

use crate::events;

/// How long the end of the program waits for the log.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static LOG: OnceLock<LogWriter> = OnceLock::new();

/// Starts the log at a level unless `RUST_LOG` has another; the journal adds its own timestamps. A
/// panic is logged, too.
pub fn start(level: &str) {
    let log = LOG.get_or_init(|| LogWriter::start(LogSink::stderr(), |_| {}));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(|| log.clone());
    if std::env::var_os("JOURNAL_STREAM").is_some() && !stderr().is_terminal() {
        subscriber.without_time().init();
    } else {
        subscriber.init();
    }
    panic::set_hook(Box::new(log_panic));
}

/// Waits until all lines are written, but not for long.
pub fn finish() {
    if let Some(log) = LOG.get() {
        log.flush(FLUSH_TIMEOUT);
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    tracing::error!(event = events::PANICKED, "{}", panic_line(info));
    finish();
}
