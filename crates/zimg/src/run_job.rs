//! Running one job: a session with the daemon whose images are encoded and saved.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zimg_client::session::{RetryPolicy, Session, SessionObserver, SessionWait};
use zimg_client::{
    Canceller, Failure, Generate, Image, ImageUpload, Job, Kind, ModelInfo, Params, Started, Update,
};

use crate::advice::advice;
use crate::control_input::ControlInput;
use crate::exit::Exit;
use crate::image_inputs::ImageInputs;
use crate::interrupt::{CancelGuard, Interrupt};
use crate::job_spec::JobSpec;
use crate::metadata;
use crate::output::{Descriptor, ImageOutput, OutputFile, SheetOutput, rescued, save, unnamed};
use crate::version::PROGRAM;
use zimg_image::{ContactSheet, GenerationMetadata, ImageFormat, Pixels};

/// An image that is saved.
#[derive(Debug)]
pub(crate) struct SavedImage<'a> {
    /// Its file; `None` for standard output.
    pub(crate) path: Option<&'a Path>,
    pub(crate) image: &'a Image,
    /// The file's length; `None` for an image that is only on the contact sheet.
    pub(crate) bytes: Option<usize>,
}

/// The observer of a job.
pub(crate) trait JobObserver {
    /// The daemon reports something.
    fn update(&mut self, update: &Update) -> Result<(), Exit>;
    /// An image is saved.
    fn saved(&mut self, saved: &SavedImage<'_>) -> Result<(), Exit>;
    /// The contact sheet is saved, with this number of bytes.
    fn sheet(&mut self, path: Option<&Path>, sheet: Pixels<'_>, bytes: usize) -> Result<(), Exit>;
    /// A warning for the user.
    fn warn(&mut self, text: &str) -> Result<(), Exit>;
    /// When the job may begin, as the daemon estimates it.
    fn begins(&mut self, at: Option<Instant>);
    /// The daemon is full; the next attempt comes after this pause.
    fn busy(&mut self, failure: &Failure, pause: Duration) -> Result<(), Exit>;
}

/// The daemon's socket, and what can end zimg.
#[derive(Clone, Debug)]
pub(crate) struct RunContext {
    pub(crate) socket: PathBuf,
    pub(crate) interrupt: Interrupt,
    /// Whether a progress line on a terminal shows the job.
    pub(crate) line: bool,
    /// How long to look for a daemon that does not listen.
    pub(crate) absence: Duration,
}

impl RunContext {
    /// How long a daemon that was started a moment ago may take until it listens.
    pub(crate) const START: Duration = RetryPolicy::FAIL.absence;

    /// How often it is looked for.
    pub(crate) const PACE: Duration = Duration::from_millis(10);

    /// How long to look for a daemon if the job waits for a place.
    pub(crate) fn absence(waits: bool) -> Duration {
        RetryPolicy::waiting(waits).absence
    }
}

/// Runs a job and saves its images.
///
/// # Errors
///
/// Whatever went wrong first. Images that were saved before stay.
pub(crate) fn run(
    plan: &JobSpec,
    context: &RunContext,
    observer: &mut dyn JobObserver,
) -> Result<(), Exit> {
    let session = Session {
        program: PROGRAM.to_owned(),
        socket: context.socket.clone(),
        policy: RetryPolicy { resubmit: plan.wait, absence: context.absence },
    };
    session.run(&mut JobRun::new(plan, context, observer))
}

/// Saves the images of a detached job.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn fetch(
    plan: &JobSpec,
    job: Job,
    context: &RunContext,
    observer: &mut dyn JobObserver,
) -> Result<(), Exit> {
    let mut run = JobRun::new(plan, context, observer);
    // Advice comes too late for a job that was accepted long ago.
    run.advised = true;
    run.stored = true;
    for update in job {
        run.update(update?)?;
    }
    Ok(())
}

/// A job that runs.
struct JobRun<'a> {
    plan: &'a JobSpec,
    context: &'a RunContext,
    observer: &'a mut dyn JobObserver,
    draw: Params,
    /// Whether what is unusual about the request was said.
    advised: bool,
    /// Whether the daemon stores the images, so that they can be saved again.
    stored: bool,
    started: Option<Started>,
    sheet: Option<ContactSheet>,
    cancel_guard: Option<CancelGuard>,
}

impl SessionObserver for JobRun<'_> {
    type Error = Exit;

    fn needs_model(&self) -> bool {
        self.plan.draw.width.is_none() && self.plan.shape.size(Some((1, 1))).is_some()
    }

    fn prepare(
        &mut self,
        model: Option<&ModelInfo>,
        begin: Option<Instant>,
    ) -> Result<Generate, Exit> {
        let JobSpec { priority, previews, detach, .. } = *self.plan;
        self.advised = model.is_some();
        (self.started, self.sheet) = (None, None);
        self.draw = self.plan.draw.clone();
        if self.needs_model()
            && let Some(size) = self.plan.shape.size(model.map(|model| (model.width, model.height)))
        {
            (self.draw.width, self.draw.height) = (Some(size.0), Some(size.1));
        }
        if let Some(model) = model {
            self.advise(model)?;
        }
        self.observer.begins(begin);
        Ok(Generate {
            params: self.draw.clone(),
            priority,
            detach,
            previews,
            ..Generate::default()
        })
    }

    fn images(&self) -> Vec<ImageUpload<'_>> {
        let inputs = self.plan.inputs.as_ref().map(ImageInputs::uploads).unwrap_or_default();
        inputs.into_iter().chain(self.plan.control.as_ref().map(ControlInput::upload)).collect()
    }

    fn submitted(&mut self, canceller: Canceller) {
        let Self { context, .. } = self;
        self.cancel_guard = Some(context.interrupt.cancel_on_interrupt(canceller, context.line));
    }

    fn update(&mut self, update: Update) -> Result<(), Exit> {
        self.observer.update(&update)?;
        match update {
            Update::Started(started) => self.started(started),
            Update::Image(image) => self.image(&image),
            Update::Done(_) => self.save_sheet(),
            _ => Ok(()),
        }
    }

    fn waiting(&mut self, wait: &SessionWait<'_>) -> Result<(), Exit> {
        match wait {
            SessionWait::Absent(failure) => {
                self.observer.warn(&format!("{failure}; waiting for a daemon"))
            }
            SessionWait::Unanswered => {
                self.observer.warn("the daemon does not answer yet; waiting, it may be restarting")
            }
            SessionWait::Busy { failure, pause } => self.observer.busy(failure, *pause),
        }
    }

    fn disconnected(&mut self) {
        self.cancel_guard = None;
    }

    fn interrupted(&self) -> bool {
        self.context.interrupt.interrupted()
    }

    fn pause(&mut self, time: Duration) -> Result<(), Exit> {
        Ok(self.context.interrupt.sleep(time)?)
    }
}

impl<'a> JobRun<'a> {
    fn new(plan: &'a JobSpec, context: &'a RunContext, observer: &'a mut dyn JobObserver) -> Self {
        let draw = plan.draw.clone();
        Self {
            plan,
            context,
            observer,
            draw,
            advised: false,
            stored: false,
            started: None,
            sheet: None,
            cancel_guard: None,
        }
    }

    /// Warns about parameters that do not suit the model.
    fn advise(&mut self, model: &ModelInfo) -> Result<(), Exit> {
        if let Some(before) =
            self.plan.generated_by.as_ref().filter(|before| **before != model.name)
        {
            let now = &model.name;
            self.observer.warn(&format!(
                "the image was generated by {before}; {now} will generate another image"
            ))?;
        }
        advice(&self.draw, model).iter().try_for_each(|text| self.observer.warn(text))
    }

    fn started(&mut self, started: Started) -> Result<(), Exit> {
        // The model was loaded while the job waited.
        if !self.advised {
            self.advised = true;
            self.advise(&started.model)?;
        }
        self.started = Some(started);
        Ok(())
    }

    /// Encodes and saves an image.
    fn image(&mut self, image: &Image) -> Result<(), Exit> {
        let JobSpec { output, encoding, metadata: with_metadata, .. } = self.plan;
        let pixels = pixels(image);
        let generation =
            self.started.as_ref().filter(|_| *with_metadata).map(|started| {
                GenerationMetadata::of_image(&self.draw, started, &image.info, PROGRAM)
            });
        if output.sheet.is_some() {
            self.sheet
                .get_or_insert_with(|| {
                    ContactSheet::new(self.draw.images(), pixels.width, pixels.height)
                })
                .put(image.info.index, pixels);
        }
        let encode = |format: ImageFormat| {
            format
                .encode(pixels, *encoding, generation.as_ref())
                .map_err(|error| metadata::failure(&error))
        };
        match &output.images {
            ImageOutput::Nowhere => {
                self.observer.saved(&SavedImage { path: None, image, bytes: None })
            }
            ImageOutput::Descriptor(descriptor, format) => {
                let bytes = encode(*format)?;
                let name = unnamed(*format, image.info.seed);
                self.write_descriptor(*descriptor, &name, &bytes)?;
                self.observer.saved(&SavedImage { path: None, image, bytes: Some(bytes.len()) })
            }
            ImageOutput::Files(files) => {
                // The client has checked that the index is below the count.
                let Some(file) = files.get(image.info.index as usize) else {
                    let message = "internal error: the image has no output file";
                    return Err(Failure::new(Kind::Internal, message).into());
                };
                let bytes = encode(file.format)?;
                self.write_file(file, image.info.seed, &bytes)?;
                self.observer.saved(&SavedImage {
                    path: Some(&file.path),
                    image,
                    bytes: Some(bytes.len()),
                })
            }
        }
    }

    /// Encodes and saves the contact sheet, if one was requested.
    fn save_sheet(&mut self) -> Result<(), Exit> {
        let Some((output, sheet)) = self.plan.output.sheet.as_ref().zip(self.sheet.take()) else {
            return Ok(());
        };
        let pixels = sheet.pixels();
        let encode = |format: ImageFormat| {
            format
                .encode(pixels, self.plan.encoding, None)
                .map_err(|error| metadata::failure(&error))
        };
        match output {
            SheetOutput::Descriptor(descriptor, format) => {
                let bytes = encode(*format)?;
                let name = unnamed(*format, self.draw.first_seed());
                self.write_descriptor(*descriptor, &name, &bytes)?;
                self.observer.sheet(None, pixels, bytes.len())
            }
            SheetOutput::File(file) => {
                let bytes = encode(file.format)?;
                self.write_file(file, self.draw.first_seed(), &bytes)?;
                self.observer.sheet(Some(&file.path), pixels, bytes.len())
            }
        }
    }

    fn write_file(&mut self, file: &OutputFile, seed: u64, bytes: &[u8]) -> Result<(), Exit> {
        let observer = &mut self.observer;
        let mut waiting =
            || observer.warn(&format!("waiting for a program that reads {}", file.path.display()));
        let saved = {
            // A pipe or device may block, and has no temporary file that could be left behind.
            let _no_exit = (!file.special).then(|| self.context.interrupt.hold());
            save(file, bytes, self.plan.force, &mut waiting)
        };
        let name = match file.path.file_name() {
            Some(name) if !file.special => name.to_owned(),
            _ => unnamed(file.format, seed).into(),
        };
        saved.map_err(|exit| self.not_saved(exit, &name, bytes))
    }

    fn write_descriptor(&self, to: Descriptor, name: &Path, bytes: &[u8]) -> Result<(), Exit> {
        let written = to.write(bytes).map_err(|error| Exit::writing(&to, &error));
        written.map_err(|exit| self.not_saved(exit, name.as_os_str(), bytes))
    }

    /// Rescues an image that could not be saved as `name`. What a reader has chosen not to read is
    /// no loss, and what the daemon stores is none either.
    fn not_saved(&self, exit: Exit, name: &OsStr, bytes: &[u8]) -> Exit {
        let _no_exit = self.context.interrupt.hold();
        match exit {
            Exit::Failed(failure) if self.stored => failure
                .hint("the daemon still stores it: run `zimg wait` again with another -o")
                .into(),
            Exit::Failed(failure) => rescued(failure, name, bytes).into(),
            other => other,
        }
    }
}

fn pixels(image: &Image) -> Pixels<'_> {
    Pixels { width: image.info.width, height: image.info.height, rgb: &image.pixels }
}
