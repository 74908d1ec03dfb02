//! The daemon's log: best effort on standard error. Whatever happens to that, no line makes the
//! daemon wait or end; lost lines are counted, and reported when the log takes lines again.

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

/// Starts the log; the journal adds its own timestamps. A panic is logged, too.
pub fn start() {
    let log = LOG.get_or_init(|| LogWriter::start(LogSink::stderr(), report_lost));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It reports an error with a macro that panics when standard error fails.
        .log_internal_errors(false)
        .with_writer(|| log.clone());
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !stderr().is_terminal();
    if journal {
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

/// How many lines were lost since the daemon's start.
pub(crate) fn lines_lost() -> u64 {
    LOG.get().map_or(0, LogWriter::lost)
}

fn report_lost(lines: u64) {
    tracing::warn!(
        event = events::LOG_LINES_LOST,
        lines,
        "{lines} lines of the log were lost: it was full, closed or not read"
    );
}

/// A panic in one line. It may end the process, which then loses what is not written.
fn log_panic(info: &PanicHookInfo<'_>) {
    tracing::error!(event = events::PANICKED, "{}", panic_line(info));
    finish();
}
