//! Tells how a batch goes: what is done, what failed, how long it takes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use zimg_client::{Failure, Kind};

use crate::progress::Progress;
use crate::report::Style;
use crate::stop::Stop;
use crate::{json, words};

/// How far a batch is.
#[derive(Debug)]
pub(super) struct Board {
    style: Style,
    /// What the batch is called in messages.
    name: String,
    /// Print paths on standard output.
    paths: bool,
    /// Images in all, if that is known.
    all: Option<u64>,
    drawn: u64,
    there: u64,
    failed: u64,
    /// The highest exit code so far.
    worst: Option<Kind>,
    /// What was said and need not be said again.
    warned: Vec<String>,
    since: Instant,
    progress: Progress,
}

/// An image that is saved.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) index: u64,
    pub(super) path: PathBuf,
    pub(super) seed: u64,
    pub(super) size: (u32, u32),
    pub(super) bytes: usize,
}

impl Board {
    pub(super) fn new(style: Style, path: &Path, paths: bool, all: Option<u64>) -> Self {
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
            drawn: 0,
            there: 0,
            failed: 0,
            worst: None,
            warned: Vec::new(),
            since: Instant::now(),
            progress: Progress::default(),
        }
    }

    /// An image is saved.
    pub(super) fn drawn(&mut self, drawn: &Drawn) -> Result<(), Stop> {
        self.drawn += 1;
        let Drawn { index, path, seed, size: (width, height), bytes } = drawn;
        if self.style == Style::Json {
            return json::print(json::drawn(*index, path, *seed, (*width, *height), *bytes));
        }
        if self.paths {
            self.progress.wipe();
            let written = writeln!(io::stdout().lock(), "{}", path.display());
            written.map_err(|error| Stop::writing(&error))?;
        } else if self.style == Style::Plain {
            self.say(&format!("{}: {width}x{height}, seed {seed}", path.display()));
        }
        self.show();
        Ok(())
    }

    /// An image was there.
    pub(super) fn there(&mut self, index: u64, path: &Path) -> Result<(), Stop> {
        self.there += 1;
        if self.style == Style::Json {
            return json::print(json::skipped(index, path));
        }
        self.show();
        Ok(())
    }

    /// An image failed.
    pub(super) fn failed(&mut self, line: u64, index: u64, failure: &Failure) -> Result<(), Stop> {
        self.failed += 1;
        let kinds = [self.worst, Some(failure.kind)].into_iter().flatten();
        self.worst = kinds.max_by_key(|kind| kind.exit_code());
        if self.style == Style::Json {
            return json::print(json::item_failed(line, index, failure));
        }
        let hint = failure.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let why = words::sentence(&failure.to_string());
        self.progress.say(&format!("{}, line {line}: {why}{hint}", self.name));
        self.show();
        Ok(())
    }

    /// Something the user would rather know, once.
    pub(super) fn warn(&mut self, text: &str) -> Result<(), Stop> {
        if self.warned.iter().any(|warned| warned == text) {
            return Ok(());
        }
        self.warned.push(text.to_owned());
        if self.style == Style::Json {
            return json::print(json::warning(text));
        }
        self.say(text);
        Ok(())
    }

    /// The one line at the end, and what the batch is worth.
    ///
    /// # Errors
    ///
    /// The worst failure's kind, if there was one; standard output is closed or full.
    pub(super) fn finish(mut self, interrupted: bool) -> Result<(), Stop> {
        self.progress.wipe();
        let took = self.since.elapsed();
        let Self { drawn, there, failed, .. } = self;
        let all = drawn + there + failed;
        if self.style == Style::Json {
            json::print(json::summary(drawn, there, failed, took))?;
        }
        let took = words::seconds(took.as_secs_f32());
        self.say(&format!(
            "{}: {drawn} drawn, {there} there already, {failed} failed, {took}",
            words::images(all)
        ));
        if interrupted {
            let message = format!("interrupted after {}", words::images(drawn + there));
            return Err(Failure::new(Kind::Cancelled, message)
                .hint("the same command goes on from there")
                .into());
        }
        match self.worst {
            Some(kind) => {
                Err(Failure::new(kind, format!("{failed} of {} failed", words::images(all))).into())
            }
            None => Ok(()),
        }
    }

    /// The changing line; only on a terminal.
    pub(super) fn show(&mut self) {
        if self.style != Style::Line {
            return;
        }
        let done = self.drawn + self.there + self.failed;
        let of = self.all.map(|all| format!(" of {}", all.max(done))).unwrap_or_default();
        let mut text = format!("{done}{of} images");
        for (count, what) in [(self.there, "there already"), (self.failed, "failed")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        if self.drawn > 0 {
            let each = self.since.elapsed().as_secs_f32() / self.drawn as f32;
            text += &format!(", {} each", words::seconds(each));
            if let Some(left) = self.all.map(|all| all.saturating_sub(done)) {
                text += &format!(", {} left", words::about(each * left as f32));
            }
        }
        let part = self.all.map(|all| done as f32 / all.max(done).max(1) as f32);
        self.progress.show(part, &text);
    }

    /// A line that stays, unless only errors are wished.
    fn say(&mut self, text: &str) {
        if matches!(self.style, Style::Line | Style::Plain) {
            self.progress.say(text);
        }
    }
}
