//! Progress of a batch: images that are done, failures, and time left.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use zimg_client::{Failure, Kind};

use crate::exit::Exit;
use crate::json::{FailureFields, PathFields};
use crate::progress::{self, JobEvent, ProgressLine, ReportStyle};
use crate::prompt_advice::{AdviceTopic, PromptAdvice};
use crate::{format, json};

/// `--json` events of a batch, beside those of its images.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum BatchEvent<'a> {
    /// An image exists already.
    Skipped {
        image: u64,
        #[serde(flatten)]
        path: PathFields,
    },
    /// An image failed, and the batch goes on.
    ItemFailed {
        line: u64,
        image: u64,
        #[serde(flatten)]
        failure: FailureFields<'a>,
    },
    /// The batch is at its end.
    Summary { generated: u64, skipped: u64, failed: u64, ms: u64 },
}

/// The progress of a batch.
#[derive(Debug)]
pub(super) struct BatchReporter {
    style: ReportStyle,
    /// The name of the batch in messages.
    name: String,
    /// Print paths on standard output.
    paths: bool,
    /// The number of images, if known.
    all: Option<u64>,
    generated: u64,
    there: u64,
    failed: u64,
    /// The highest exit code so far.
    worst: Option<Kind>,
    /// Warnings that were printed.
    warned: Vec<String>,
    /// Topics of advice that were printed.
    advised: Vec<AdviceTopic>,
    since: Instant,
    progress: ProgressLine,
}

/// An image that is saved.
#[derive(Clone, Debug)]
pub(super) struct SavedBatchImage {
    pub(super) index: u64,
    pub(super) path: PathBuf,
    pub(super) seed: u64,
    pub(super) size: (u32, u32),
    pub(super) bytes: usize,
}

impl BatchReporter {
    pub(super) fn new(style: ReportStyle, path: &Path, paths: bool, all: Option<u64>) -> Self {
        let name = if path == Path::new("-") {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        Self {
            style,
            name,
            paths,
            all,
            generated: 0,
            there: 0,
            failed: 0,
            worst: None,
            warned: Vec::new(),
            advised: Vec::new(),
            since: Instant::now(),
            progress: ProgressLine::default(),
        }
    }

    /// An image is saved.
    pub(super) fn generated(&mut self, generated: &SavedBatchImage) -> Result<(), Exit> {
        self.generated += 1;
        let SavedBatchImage { index, path, seed, size: (width, height), bytes } = generated;
        if self.style == ReportStyle::Json {
            return json::print(&JobEvent::Saved {
                image: *index,
                path: path.as_path().into(),
                seed: *seed,
                width: *width,
                height: *height,
                bytes: Some(*bytes),
            });
        }
        if self.paths {
            self.progress.wipe();
            format::print_path(path)?;
        } else if self.style == ReportStyle::Plain {
            self.say(&format!("{}: {width}x{height}, seed {seed}", path.display()));
        }
        self.show();
        Ok(())
    }

    /// An image exists already.
    pub(super) fn there(&mut self, index: u64, path: &Path) -> Result<(), Exit> {
        self.there += 1;
        if self.style == ReportStyle::Json {
            return json::print(&BatchEvent::Skipped { image: index, path: path.into() });
        }
        self.show();
        Ok(())
    }

    /// An image failed.
    pub(super) fn failed(&mut self, line: u64, index: u64, failure: &Failure) -> Result<(), Exit> {
        self.failed += 1;
        let kinds = [self.worst, Some(failure.kind)].into_iter().flatten();
        self.worst = kinds.max_by_key(|kind| kind.exit_code());
        if self.style == ReportStyle::Json {
            return json::print(&BatchEvent::ItemFailed {
                line,
                image: index,
                failure: failure.into(),
            });
        }
        let hint = failure.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let why = format::sentence(&failure.to_string());
        self.progress.say(&format!("{}, line {line}: {why}{hint}", self.name));
        self.show();
        Ok(())
    }

    /// A warning, printed once.
    pub(super) fn warn(&mut self, text: &str) -> Result<(), Exit> {
        if self.warned.iter().any(|warned| warned == text) {
            return Ok(());
        }
        self.warned.push(text.to_owned());
        if self.style == ReportStyle::Json {
            return json::print(&progress::warning(text));
        }
        self.say(text);
        Ok(())
    }

    /// Advice about a prompt, printed once for each topic: the other lines will have the same.
    pub(super) fn advise(&mut self, line: u64, advice: &PromptAdvice) -> Result<(), Exit> {
        if self.advised.contains(&advice.topic) {
            return Ok(());
        }
        self.advised.push(advice.topic);
        let text = format!("{}, line {line}: {}", self.name, advice.text);
        self.warn(&text)
    }

    /// The summary at the end, and the result of the batch.
    ///
    /// # Errors
    ///
    /// The kind of the worst failure, if any; standard output is closed or full.
    pub(super) fn finish(mut self, interrupted: bool) -> Result<(), Exit> {
        self.progress.wipe();
        let took = self.since.elapsed();
        let Self { generated, there, failed, .. } = self;
        let all = generated + there + failed;
        if self.style == ReportStyle::Json {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            json::print(&BatchEvent::Summary { generated, skipped: there, failed, ms })?;
        }
        let took = format::seconds(took.as_secs_f32());
        self.say(&format!(
            "{}: {generated} generated, {there} exist already, {failed} failed, {took}",
            format::images(all)
        ));
        if interrupted {
            let message = format!("interrupted after {}", format::images(generated + there));
            return Err(Failure::new(Kind::Cancelled, message)
                .hint("the same command continues from there")
                .into());
        }
        match self.worst {
            Some(kind) => {
                Err(Failure::new(kind, format!("{failed} of {} failed", format::images(all)))
                    .into())
            }
            None => Ok(()),
        }
    }

    /// Updates the progress line; only on a terminal.
    pub(super) fn show(&mut self) {
        if self.style != ReportStyle::Line {
            return;
        }
        let done = self.generated + self.there + self.failed;
        let of = self.all.map(|all| format!(" of {}", all.max(done))).unwrap_or_default();
        let mut text = format!("{done}{of} images");
        for (count, what) in [(self.there, "exist already"), (self.failed, "failed")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        if self.generated > 0 {
            let each = self.since.elapsed().as_secs_f32() / self.generated as f32;
            text += &format!(", {} each", format::seconds(each));
            if let Some(left) = self.all.map(|all| all.saturating_sub(done)) {
                text += &format!(", {} left", format::about(each * left as f32));
            }
        }
        let part = self.all.map(|all| done as f32 / all.max(done).max(1) as f32);
        self.progress.show(part, &text);
    }

    /// Prints a permanent line, unless `--quiet`.
    fn say(&mut self, text: &str) {
        if matches!(self.style, ReportStyle::Line | ReportStyle::Plain) {
            self.progress.say(text);
        }
    }
}
