//! Tells the user how a job goes: a line on a terminal, plain lines elsewhere, JSON, or nothing.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use zimg_client::{Picture, Started, Step, Update, Waiting, WorkerState};

use crate::stop::Stop;
use crate::{json, words};

/// The longest progress line in columns; a wrapped one could not be wiped.
const COLUMNS: usize = 78;
/// Back to the line's start, and wipe it.
const WIPE: &str = "\r\x1b[K";

/// A picture that is where it belongs.
#[derive(Debug)]
pub(crate) struct Saved<'a> {
    /// Its file, or none for standard output.
    pub(crate) path: Option<&'a Path>,
    pub(crate) info: &'a Picture,
    /// The file's length.
    pub(crate) bytes: usize,
}

/// How to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `--json`: lines on standard output, nothing on standard error.
    Json,
    /// `-q`: nothing.
    Quiet,
    /// One line on standard error that changes in place.
    Line,
    /// Lines on standard error, for what is worth a line in a log.
    Plain,
}

impl Style {
    /// What the options and standard error ask for.
    pub(crate) fn choose(json: bool, quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match () {
            () if json => Self::Json,
            () if quiet => Self::Quiet,
            () if io::stderr().is_terminal() && !dumb => Self::Line,
            () => Self::Plain,
        }
    }
}

/// Tells how one job goes.
#[derive(Debug)]
pub(crate) struct Report {
    style: Style,
    count: u32,
    /// Print the paths that the user did not choose on standard output.
    paths: bool,
    /// A negative prompt was given.
    negative: bool,
    said: String,
    line: bool,
    steps: u64,
    step_ms: f32,
    since: Instant,
}

impl Report {
    /// For a job of `count` pictures. `paths`: their names are news to the user. `negative`: there
    /// is a negative prompt.
    pub(crate) fn new(style: Style, count: u32, paths: bool, negative: bool) -> Self {
        let said = String::new();
        let since = Instant::now();
        Self { style, count, paths, negative, said, line: false, steps: 0, step_ms: 0.0, since }
    }

    /// Tells an update.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full (JSON only).
    pub(crate) fn update(&mut self, update: &Update) -> Result<(), Stop> {
        if self.style == Style::Json {
            return json::update(update).map_or(Ok(()), json::print);
        }
        match update {
            Update::Accepted { position: 0, .. } => {}
            Update::Accepted { position, .. } => {
                self.waiting(&Waiting::Queue { position: *position });
            }
            Update::Waiting(waiting) => self.waiting(waiting),
            Update::Started(started) => self.started(started),
            Update::Step(step) => self.step(step),
            Update::Decoding { picture } => {
                let which = self.which(*picture);
                self.show(&format!("{which}decoding"));
            }
            Update::Image(_) => self.show("saving"),
            Update::Done(_) => self.wipe(),
            Update::Preview(_) => {}
            Update::Resumed { picture, step } => {
                let which = self.which(*picture);
                self.say(&format!("{which}going on after step {step}"));
            }
        }
        Ok(())
    }

    /// Tells that a picture is where it belongs.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub(crate) fn saved(&mut self, saved: &Saved<'_>) -> Result<(), Stop> {
        if self.style == Style::Json {
            return json::print(json::saved(saved));
        }
        let took = words::seconds(self.since.elapsed().as_secs_f32());
        self.since = Instant::now();
        self.wipe();
        if self.paths
            && let Some(path) = saved.path
        {
            let written = writeln!(io::stdout().lock(), "{}", path.display());
            written.map_err(|error| Stop::writing(&error))?;
        }
        let Picture { seed, width, height, .. } = saved.info;
        let name = match saved.path {
            Some(path) if !self.paths => format!("{}: ", path.display()),
            _ => String::new(),
        };
        self.say(&format!("{name}{width}x{height}, seed {seed}, {took}"));
        Ok(())
    }

    fn waiting(&mut self, waiting: &Waiting) {
        let text = words::waiting(waiting);
        match waiting {
            _ if self.style == Style::Line => self.show(&text),
            // In a log the kind of waiting is worth a line, not each per cent.
            Waiting::Worker(WorkerState::Loading { total, .. }) => {
                self.say(&format!("waiting: loading the model ({})", words::bytes(*total)));
            }
            Waiting::Worker(WorkerState::Ready | WorkerState::Busy { .. }) => {}
            _ => self.say(&text),
        }
    }

    fn started(&mut self, started: &Started) {
        self.since = Instant::now();
        if self.negative && started.guidance <= 0.0 {
            self.say("the negative prompt has no effect while the guidance is 0");
        }
        let Started { model, width, height, steps, .. } = started;
        if self.style == Style::Plain {
            self.say(&format!("drawing {width}x{height} in {steps} steps with {model}"));
        }
        self.show("reading the prompt");
    }

    fn step(&mut self, step: &Step) {
        self.steps += 1;
        self.step_ms += step.ms;
        let pictures_left = u64::from(self.count.saturating_sub(step.picture + 1));
        let of = u64::from(step.of);
        let left = of.saturating_sub(step.step.into()) + pictures_left * of;
        let left = words::seconds(self.step_ms / self.steps as f32 * left as f32 / 1e3);
        let which = self.which(step.picture);
        self.show(&format!("{which}step {} of {}, {left} left", step.step, step.of));
    }

    fn which(&self, picture: u32) -> String {
        match self.count {
            0 | 1 => String::new(),
            count => format!("picture {} of {count}, ", u64::from(picture) + 1),
        }
    }

    /// The changing line; only on a terminal.
    fn show(&mut self, text: &str) {
        if self.style == Style::Line {
            let text: String = text.chars().filter(|c| !c.is_control()).take(COLUMNS).collect();
            to_stderr(&format!("{WIPE}{text}"));
            self.line = true;
        }
    }

    /// A line that stays; the same one is not said twice on end.
    fn say(&mut self, text: &str) {
        if matches!(self.style, Style::Line | Style::Plain) && self.said != text {
            self.wipe();
            to_stderr(&format!("{}\n", words::printable(text)));
            text.clone_into(&mut self.said);
        }
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.line) {
            to_stderr(WIPE);
        }
    }
}

/// The line goes, whatever ends the job.
impl Drop for Report {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Progress that cannot be told is no reason to stop drawing.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
