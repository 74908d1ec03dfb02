//! Progress of a preparation: a line on a terminal, JSON, or nothing.

use std::time::{Duration, Instant};

use super::events::PreparingEvent;
use crate::exit::Exit;
use crate::progress::{ProgressLine, ReportStyle};
use crate::{format, json};

/// The least time between two events.
const JSON_PACE: Duration = Duration::from_secs(1);

/// Reports how much of `total` bytes is done.
#[derive(Debug)]
pub(crate) struct PrepareReporter {
    style: ReportStyle,
    line: ProgressLine,
    total: u64,
    begun: Instant,
    shown: Option<Instant>,
}

impl PrepareReporter {
    /// For `total` bytes.
    pub(crate) fn new(style: ReportStyle, total: u64) -> Self {
        Self { style, line: ProgressLine::default(), total, begun: Instant::now(), shown: None }
    }

    /// Prints a permanent line, except with `--json` and `--quiet`.
    pub(crate) fn say(&mut self, text: &str) {
        if matches!(self.style, ReportStyle::Line | ReportStyle::Plain) {
            self.line.say(text);
        }
    }

    /// Reports that `done` bytes are done.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub(crate) fn update(&mut self, done: u64) -> Result<(), Exit> {
        match self.style {
            ReportStyle::Line => {
                let part = done as f32 / self.total.max(1) as f32;
                self.line.show(Some(part), &status(done, self.total, self.begun.elapsed()));
            }
            ReportStyle::Json if self.shown.is_none_or(|at| at.elapsed() >= JSON_PACE) => {
                self.shown = Some(Instant::now());
                json::print(&PreparingEvent { done, total: self.total })?;
            }
            ReportStyle::Json | ReportStyle::Plain | ReportStyle::Quiet => {}
        }
        Ok(())
    }

    /// Erases the line.
    pub(crate) fn finish(&mut self) {
        self.line.wipe();
    }
}

/// `3.1 GB of 20.5 GB, 810 MB/s, 20 s left`
fn status(done: u64, total: u64, time: Duration) -> String {
    let text = format!("{} of {}", format::bytes(done), format::bytes(total));
    let speed = done as f32 / time.as_secs_f32();
    if time < Duration::from_secs(1) || speed < 1.0 {
        return text;
    }
    let left = format::about(total.saturating_sub(done) as f32 / speed);
    format!("{text}, {}/s, {left} left", format::bytes(speed as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_speed_and_remainder() {
        let (done, total) = (4_100_000_000, 20_500_000_000);
        assert_eq!(status(done, total, Duration::ZERO), "4.1 GB of 20.5 GB");
        let text = status(done, total, Duration::from_secs(10));
        assert!(text.starts_with("4.1 GB of 20.5 GB, 410 MB/s, "), "{text}");
    }
}
