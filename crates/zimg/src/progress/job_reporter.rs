//! Progress of one job: a line on a terminal, plain lines elsewhere, JSON, or nothing.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use zimg_client::{
    Failure, Image, ImageInfo, JobId, Preview, Started, Step, Update, Waiting, WorkerState,
};

use super::json as events;
use super::line::ProgressLine;
use super::style::ReportStyle;
use crate::exit::Exit;
use crate::run_job::{JobObserver, SavedImage};
use crate::terminal_image::TerminalImage;
use crate::{format, json};
use zimg_image::Pixels;

/// Reports the progress of one job.
#[derive(Debug)]
pub(crate) struct JobReporter {
    style: ReportStyle,
    count: u32,
    /// Print the paths that the user did not choose on standard output.
    paths: bool,
    screen: Option<TerminalImage>,
    /// Width and height of the images, once the job has started.
    size: (u32, u32),
    /// When the job may begin, if it can be estimated.
    begins: Option<Instant>,
    said: String,
    progress: ProgressLine,
    /// The part of the job that is done, once it has started.
    part: Option<f32>,
    /// The job's number, once it has one.
    job: Option<JobId>,
    steps: u64,
    step_ms: f32,
    since: Instant,
}

impl JobReporter {
    /// For a job of `count` images. `paths`: print the file names. `screen` shows images.
    pub(crate) fn new(
        style: ReportStyle,
        count: u32,
        paths: bool,
        screen: Option<TerminalImage>,
    ) -> Self {
        Self {
            style,
            count,
            paths,
            screen,
            size: (0, 0),
            begins: None,
            said: String::new(),
            progress: ProgressLine::default(),
            part: None,
            job: None,
            steps: 0,
            step_ms: 0.0,
            since: Instant::now(),
        }
    }

    /// Prints the number of a detached job on standard output, and what to do with it on standard
    /// error.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub(crate) fn detached(&mut self) -> Result<(), Exit> {
        let Some(job) = self.job.filter(|_| self.style != ReportStyle::Json) else { return Ok(()) };
        self.progress.wipe();
        writeln!(io::stdout().lock(), "{job}").map_err(|error| Exit::stdout(&error))?;
        self.say(&format!("job {job} runs in the background; `zimg wait {job}` saves its images"));
        Ok(())
    }

    /// Shows a preview above the progress line.
    fn preview(&mut self, preview: &Preview) {
        let Preview { image, width, height, rgb, .. } = preview;
        let size = self.size;
        if let Some(mut screen) = self.screen.take_if(|screen| screen.previews()) {
            let pixels = Pixels { width: *width, height: *height, rgb };
            self.progress.aside(|| screen.draw(*image, size, pixels));
            self.screen = Some(screen);
        }
    }

    /// Shows the finished image, or removes its preview.
    fn finished(&mut self, image: &Image) {
        let ImageInfo { index, width, height, .. } = image.info;
        if let Some(mut screen) = self.screen.take() {
            self.progress.wipe();
            self.progress.aside(|| {
                if screen.shows() {
                    let pixels = Pixels { width, height, rgb: &image.pixels };
                    screen.draw(index, (width, height), pixels);
                }
                screen.finished();
            });
            self.screen = Some(screen);
        }
    }

    /// Reports a saved file: its path on standard output unless the user chose it, its properties
    /// on standard error.
    fn kept(&mut self, path: Option<&Path>, what: &str) -> Result<(), Exit> {
        self.progress.wipe();
        if self.paths
            && let Some(path) = path
        {
            format::print_path(path)?;
        }
        let name = match path {
            Some(path) if !self.paths => format!("{}: ", path.display()),
            _ => String::new(),
        };
        self.say(&format!("{name}{what}"));
        Ok(())
    }

    fn waiting(&mut self, waiting: &Waiting) {
        let mut text = format::waiting(waiting);
        if let (Waiting::Queue { .. }, Some(at)) = (waiting, self.begins) {
            let left = at.saturating_duration_since(Instant::now()).as_secs_f32();
            text += &format!(", about {}", format::seconds(left));
        }
        match waiting {
            _ if self.style == ReportStyle::Line => {
                let before = self.part;
                if let Waiting::Worker(WorkerState::Loading { done, total }) = waiting {
                    self.part = Some(*done as f32 / (*total).max(1) as f32);
                }
                self.show(&text);
                self.part = before;
            }
            // A log gets a line for each reason to wait, not for each per cent.
            Waiting::Worker(WorkerState::Loading { total, .. }) => {
                self.say(&format!("waiting: loading the model ({})", format::bytes(*total)));
            }
            Waiting::Worker(WorkerState::Ready | WorkerState::Busy { .. }) => {}
            _ => self.say(&text),
        }
    }

    fn started(&mut self, started: &Started) {
        self.since = Instant::now();
        let Started { model, width, height, steps, .. } = started;
        self.size = (*width, *height);
        if self.style == ReportStyle::Plain {
            let steps = format::steps(*steps);
            self.say(&format!("generating {width}x{height} in {steps} with {}", model.name));
        }
        self.part = Some(0.0);
        self.show("encoding the prompt");
    }

    fn step(&mut self, step: &Step) {
        self.steps += 1;
        self.step_ms += step.ms;
        let images_left = u64::from(self.count.saturating_sub(step.image + 1));
        let of = u64::from(step.of);
        let left = of.saturating_sub(step.step.into()) + images_left * of;
        let all = (u64::from(self.count.max(1)) * of).max(1);
        self.part = Some(1.0 - left as f32 / all as f32);
        let left = format::about(self.step_ms / self.steps as f32 * left as f32 / 1e3);
        let which = self.which(step.image);
        self.show(&format!("{which}step {} of {}, {left} left", step.step, step.of));
    }

    fn which(&self, image: u32) -> String {
        match self.count {
            0 | 1 => String::new(),
            count => format!("image {} of {count}, ", u64::from(image) + 1),
        }
    }

    /// Updates the progress line; only on a terminal.
    fn show(&mut self, text: &str) {
        if self.style == ReportStyle::Line {
            self.progress.show(self.part, text);
        }
    }

    /// Prints a permanent line, unless it is the same as the last one.
    fn say(&mut self, text: &str) {
        if matches!(self.style, ReportStyle::Line | ReportStyle::Plain) && self.said != text {
            self.progress.say(text);
            if let Some(screen) = &mut self.screen {
                screen.line_came();
            }
            text.clone_into(&mut self.said);
        }
    }
}

impl JobObserver for JobReporter {
    fn update(&mut self, update: &Update) -> Result<(), Exit> {
        if let Update::Accepted { job, .. } = update {
            self.job = Some(*job);
        }
        if self.style == ReportStyle::Json {
            return events::update(update).map_or(Ok(()), |event| json::print(&event));
        }
        match update {
            Update::Accepted { position: 0, .. } => {}
            Update::Accepted { position, .. } => {
                self.waiting(&Waiting::Queue { position: *position });
            }
            Update::Waiting(waiting) => self.waiting(waiting),
            Update::Started(started) => self.started(started),
            Update::Step(step) => self.step(step),
            Update::Decoding { image } => {
                let which = self.which(*image);
                self.show(&format!("{which}decoding"));
            }
            Update::Image(_) => self.show("saving"),
            Update::Done(_) => self.progress.wipe(),
            Update::Preview(preview) => self.preview(preview),
            Update::Resumed { image, step } => {
                let which = self.which(*image);
                self.say(&format!("{which}resuming after step {step}"));
            }
        }
        Ok(())
    }

    fn saved(&mut self, saved: &SavedImage<'_>) -> Result<(), Exit> {
        self.finished(saved.image);
        if self.style == ReportStyle::Json {
            return json::print(&events::saved(saved));
        }
        let took = format::seconds(self.since.elapsed().as_secs_f32());
        self.since = Instant::now();
        let ImageInfo { seed, width, height, .. } = saved.image.info;
        self.kept(saved.path, &format!("{width}x{height}, seed {seed}, {took}"))
    }

    fn sheet(&mut self, path: Option<&Path>, sheet: Pixels<'_>, bytes: usize) -> Result<(), Exit> {
        let Pixels { width, height, .. } = sheet;
        if self.style == ReportStyle::Json {
            return json::print(&events::sheet(path, width, height, bytes));
        }
        self.kept(path, &format!("{width}x{height}, all {} images", self.count))
    }

    fn warn(&mut self, text: &str) -> Result<(), Exit> {
        if self.style == ReportStyle::Json {
            return json::print(&events::warning(text));
        }
        self.say(text);
        Ok(())
    }

    fn begins(&mut self, at: Option<Instant>) {
        self.begins = at;
    }

    fn busy(&mut self, failure: &Failure, pause: Duration) -> Result<(), Exit> {
        if self.style == ReportStyle::Json {
            return json::print(&events::busy(failure, pause));
        }
        let again = format::seconds(pause.as_secs_f32());
        match self.style {
            ReportStyle::Line => self.show(&format!("{failure}; asking again in {again}")),
            _ => self.say(&format!("{failure}; waiting")),
        }
        Ok(())
    }
}
