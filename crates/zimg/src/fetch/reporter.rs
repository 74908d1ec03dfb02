//! Progress of a pull: a line on a terminal, plain lines elsewhere, JSON, or nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use zimg_hub::{Event, PlannedFile};

use super::events::PullEvent;
use crate::exit::Exit;
use crate::progress::{ProgressLine, ReportStyle};
use crate::{format, json};

/// The speed is that of the last seconds.
const WINDOW: Duration = Duration::from_secs(10);
/// The least time between two updates of the line, and between two events.
const LINE_PACE: Duration = Duration::from_millis(100);
const JSON_PACE: Duration = Duration::from_secs(1);
/// Smaller files are not worth a line of a log.
const LARGE: u64 = 1_000_000;

/// Reports the progress of a pull.
#[derive(Debug)]
pub(crate) struct PullReporter {
    style: ReportStyle,
    line: ProgressLine,
    total: u64,
    done: u64,
    /// When how many bytes had been done.
    samples: VecDeque<(Instant, u64)>,
    shown: Option<Instant>,
}

impl PullReporter {
    /// For a pull of `total` bytes.
    pub(crate) fn new(style: ReportStyle, total: u64) -> Self {
        let line = ProgressLine::default();
        Self { style, line, total, done: 0, samples: VecDeque::new(), shown: None }
    }

    /// Prints a permanent line, except with `--json` and `--quiet`.
    pub(crate) fn say(&mut self, text: &str) {
        if matches!(self.style, ReportStyle::Line | ReportStyle::Plain) {
            self.line.say(text);
        }
    }

    /// Reports an event of a pull of these files.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub(crate) fn report(&mut self, event: &Event, files: &[PlannedFile]) -> Result<(), Exit> {
        let is_json = self.style == ReportStyle::Json;
        let path = |file: &usize| files.get(*file).map_or("", |file| file.path.as_str());
        match event {
            Event::Start { bytes, .. } => {
                self.done += bytes;
                // What was there already is no speed.
                self.samples.clear();
            }
            Event::Bytes { bytes, .. } => self.done += bytes,
            Event::Restart { file, bytes, reason } => {
                self.done = self.done.saturating_sub(*bytes);
                self.samples.clear();
                self.say(&format!("{}: {reason}; fetching it from its start", path(file)));
            }
            Event::Locked { file } => {
                self.say(&format!("{}: another program fetches it; waiting", path(file)));
            }
            Event::Retry { file, reason, pause } if is_json => {
                let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                let event = PullEvent::Retry { path: path(file), message: reason, wait_ms };
                json::print(&event)?;
            }
            Event::Retry { file, reason, pause } => {
                let again = format::seconds(pause.as_secs_f32());
                self.say(&format!("{}: {reason}; again in {again}", path(file)));
            }
            Event::Finished { file } => {
                let bytes = files.get(*file).map_or(0, |file| file.bytes);
                if is_json {
                    json::print(&PullEvent::Fetched { path: path(file), bytes })?;
                } else if self.style == ReportStyle::Plain && bytes >= LARGE {
                    self.say(&format!("{}: {}", path(file), format::bytes(bytes)));
                }
            }
        }
        self.update()
    }

    /// Updates the line, if it is time.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub(crate) fn update(&mut self) -> Result<(), Exit> {
        let now = Instant::now();
        let pace = if self.style == ReportStyle::Json { JSON_PACE } else { LINE_PACE };
        if self.shown.is_some_and(|shown| now.duration_since(shown) < pace) {
            return Ok(());
        }
        self.shown = Some(now);
        self.samples.push_back((now, self.done));
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
        match self.style {
            ReportStyle::Json => {
                json::print(&PullEvent::Fetching { done: self.done, total: self.total })
            }
            ReportStyle::Line => {
                let part = self.done as f32 / self.total.max(1) as f32;
                let text = status(self.done, self.total, self.speed(now));
                self.line.show(Some(part), &text);
                Ok(())
            }
            ReportStyle::Plain | ReportStyle::Quiet => Ok(()),
        }
    }

    /// Erases the line.
    pub(crate) fn finish(&mut self) {
        self.line.wipe();
    }

    /// Bytes a second, once some time is over.
    fn speed(&self, now: Instant) -> Option<f32> {
        let (since, before) = self.samples.front()?;
        let seconds = now.duration_since(*since).as_secs_f32();
        (seconds > 0.5).then(|| self.done.saturating_sub(*before) as f32 / seconds)
    }
}

/// `3.1 GB of 24.6 GB, 45 MB/s, 8 min left`
fn status(done: u64, total: u64, speed: Option<f32>) -> String {
    let text = format!("{} of {}", format::bytes(done), format::bytes(total));
    match speed {
        Some(speed) if speed >= 1.0 => {
            let left = format::about(total.saturating_sub(done) as f32 / speed);
            format!("{text}, {}/s, {left} left", format::bytes(speed as u64))
        }
        Some(_) => format!("{text}, nothing comes"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_speed_and_remainder() {
        let of = |speed| status(3_100_000_000, 24_600_000_000, speed);
        assert_eq!(of(None), "3.1 GB of 24.6 GB");
        assert_eq!(of(Some(45e6)), "3.1 GB of 24.6 GB, 45 MB/s, 8 min left");
        assert_eq!(of(Some(0.0)), "3.1 GB of 24.6 GB, nothing comes");
    }
}
