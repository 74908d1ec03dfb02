//! One job from the daemon to the files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use zimg_client::limits::HELLO_TIMEOUT;
use zimg_client::{
    Client, Failure, Image, Job, Kind, ModelInfo, Overview, Params, Started, Submit, Update,
    Waiting, WorkerState,
};

use crate::advice::advice;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::job_spec::JobSpec;
use crate::metadata;
use crate::output::save;
use crate::output::{ImageOutput, OutputFile, SheetOutput};
use crate::version::PROGRAM;
use zimg_image::{ContactSheet, ImageFormat, Pixels};

/// How often a daemon that loads its model is asked whether it has it.
const MODEL_PACE: Duration = Duration::from_millis(200);
/// How long to wait for a place that nobody can say when it comes.
const BUSY_PACE: Duration = Duration::from_secs(1);
/// The shortest and the longest pause before asking for a place again.
const BUSY_PACES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How long a daemon that listens and does not answer is waited for. One that is restarted draws
/// its running image to the end first, for at most a minute, and then starts.
const RESTART: Duration = Duration::from_secs(120);

/// An image that is where it belongs.
#[derive(Debug)]
pub(crate) struct SavedImage<'a> {
    /// Its file, or none for standard output.
    pub(crate) path: Option<&'a Path>,
    pub(crate) image: &'a Image,
    /// The file's length; none for an image that is only on the sheet.
    pub(crate) bytes: Option<usize>,
}

/// Is told how a drawing goes.
pub(crate) trait JobObserver {
    /// Something the daemon says.
    fn update(&mut self, update: &Update) -> Result<(), Exit>;
    /// An image is saved.
    fn saved(&mut self, saved: &SavedImage<'_>) -> Result<(), Exit>;
    /// The sheet is saved, of so many bytes.
    fn sheet(&mut self, path: Option<&Path>, sheet: Pixels<'_>, bytes: usize) -> Result<(), Exit>;
    /// The user would rather know.
    fn warn(&mut self, text: &str) -> Result<(), Exit>;
    /// When the job may begin, as the daemon estimates it.
    fn begins(&mut self, at: Option<Instant>);
    /// There is no place yet; the next question comes after this pause.
    fn busy(&mut self, failure: &Failure, pause: Duration) -> Result<(), Exit>;
}

/// The daemon, and what ends zimg.
#[derive(Clone, Debug)]
pub(crate) struct RunContext {
    pub(crate) socket: PathBuf,
    pub(crate) interrupt: Interrupt,
    /// A line on a terminal shows how it goes.
    pub(crate) line: bool,
    /// How long a daemon that is not there is waited for.
    pub(crate) absence: Duration,
}

impl RunContext {
    /// Who draws waits this long for a daemon that is not there: one that was started a moment ago
    /// (`zimaged &`, and the next line draws) does not listen yet.
    pub(crate) const START: Duration = Duration::from_millis(500);

    /// And looks for it so often.
    pub(crate) const PACE: Duration = Duration::from_millis(10);

    /// How long, if a place is waited for: a service manager may be about to start the next one.
    pub(crate) fn absence(waits: bool) -> Duration {
        if waits { RESTART } else { Self::START }
    }
}

/// How far a try came.
#[derive(Debug, Default)]
struct Attempt {
    /// Milliseconds until there is a place, if there is none and the daemon knows.
    wait_ms: Option<u64>,
    accepted: bool,
    saved: bool,
}

/// Draws what is planned and saves it. A daemon that ends gives back the jobs that it has not
/// begun; where the next one takes its place, that one is asked.
///
/// # Errors
///
/// Whatever went wrong first. Images saved before stay.
pub(crate) fn run(
    plan: &JobSpec,
    session: &RunContext,
    observer: &mut dyn JobObserver,
) -> Result<(), Exit> {
    let mut given_back = None;
    loop {
        let mut attempt = Attempt::default();
        let tried = attempt_job(plan, session, observer, &mut attempt);
        let again = plan.wait || (attempt.accepted && !attempt.saved);
        match tried {
            Err(Exit::Failed(failure))
                if failure.kind == Kind::Busy && again && !session.interrupt.interrupted() =>
            {
                let pause = attempt.wait_ms.map_or(BUSY_PACE, Duration::from_millis);
                let pause = pause.clamp(BUSY_PACES.0, BUSY_PACES.1);
                observer.busy(&failure, pause)?;
                session.interrupt.sleep(pause)?;
                given_back = attempt.accepted.then_some(failure);
            }
            // There is no next one.
            Err(Exit::Failed(failure)) if failure.kind == Kind::Unavailable => {
                return Err(given_back.unwrap_or(failure).into());
            }
            other => return other,
        }
    }
}

fn attempt_job(
    plan: &JobSpec,
    session: &RunContext,
    observer: &mut dyn JobObserver,
    attempt: &mut Attempt,
) -> Result<(), Exit> {
    let asked = Instant::now();
    let (mut client, mut model, wait) = introduced(session, observer)?;
    let mut draw = plan.draw.clone();
    if draw.width.is_none()
        && let Some(size) = size(plan, &mut client, &mut model, observer)?
    {
        (draw.width, draw.height) = (Some(size.0), Some(size.1));
    }
    if let Some(model) = &model {
        advise(plan, &draw, model, observer)?;
    }
    observer.begins(wait.map(|ms| asked + Duration::from_millis(ms)));
    let JobSpec { priority, previews, detach, .. } = *plan;
    let job = client.submit(&Submit { params: draw.clone(), priority, detach, previews })?;
    // Of a detached job Ctrl-C ends only the asking.
    let canceller = (!plan.detach).then(|| job.canceller()).transpose()?;
    let _cancels = canceller.map(|it| session.interrupt.cancel_on_interrupt(it, session.line));
    JobRun { plan, session, draw, model, started: None, sheet: None }.follow(job, observer, attempt)
}

/// Saves what comes of a job that the daemon has: it is no business of this one whether the job
/// goes on.
///
/// # Errors
///
/// As [`draw`].
pub(crate) fn fetch(
    plan: &JobSpec,
    job: Job,
    session: &RunContext,
    observer: &mut dyn JobObserver,
) -> Result<(), Exit> {
    // To know more of the model is worth a question, no failure.
    let status = Client::connect(PROGRAM, &session.socket).and_then(|mut client| client.status());
    let (draw, model) = (plan.draw.clone(), status.ok().and_then(|status| status.model));
    let work = JobRun { plan, session, draw, model, started: None, sheet: None };
    work.follow(job, observer, &mut Attempt::default())
}

/// A connection. A daemon that is not there may be about to start.
fn connected(session: &RunContext, observer: &mut dyn JobObserver) -> Result<Client, Exit> {
    let asked = Instant::now();
    let mut told = false;
    loop {
        match answered(session, observer) {
            Err(Exit::Failed(failure))
                if failure.kind == Kind::Unavailable && asked.elapsed() < session.absence =>
            {
                let restarted = session.absence > RunContext::START;
                if restarted && asked.elapsed() > RunContext::START && !told {
                    told = true;
                    observer.warn(&format!("{failure}; waiting for one"))?;
                }
                session.interrupt.sleep(RunContext::PACE)?;
            }
            other => return other,
        }
    }
}

/// A connection. A daemon that does not answer at once may be about to be restarted.
fn answered(session: &RunContext, observer: &mut dyn JobObserver) -> Result<Client, Exit> {
    let asked = Instant::now();
    let mut told = Ok(());
    let client = Client::connect_patiently(PROGRAM, &session.socket, || {
        if asked.elapsed() < 2 * HELLO_TIMEOUT {
            told = observer.warn("the daemon does not answer yet; waiting, it may be restarted");
        }
        told.is_ok() && asked.elapsed() < RESTART && !session.interrupt.interrupted()
    });
    told?;
    Ok(client?)
}

/// A connection; the model, if there is one yet; and the milliseconds until a job that came now
/// would begin.
fn introduced(
    session: &RunContext,
    observer: &mut dyn JobObserver,
) -> Result<(Client, Option<ModelInfo>, Option<u64>), Exit> {
    let mut client = connected(session, observer)?;
    match client.overview() {
        Ok(Overview { status, wait_ms, .. }) => Ok((client, status.model, wait_ms)),
        // A daemon that knows only the short answer ends the connection over the question.
        Err(failure) if failure.kind == Kind::Usage => {
            let mut client = Client::connect(PROGRAM, &session.socket)?;
            let model = client.status()?.model;
            Ok((client, model, None))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// The size, where the plan leaves it to the model's liking; waits for the model.
fn size(
    plan: &JobSpec,
    client: &mut Client,
    model: &mut Option<ModelInfo>,
    observer: &mut dyn JobObserver,
) -> Result<Option<(u32, u32)>, Exit> {
    if plan.shape.size(Some((1, 1))).is_none() {
        return Ok(None);
    }
    while model.is_none() {
        let status = client.status()?;
        if let WorkerState::Failed(failure) = status.worker {
            return Err(failure.into());
        }
        *model = status.model;
        if model.is_none() {
            observer.update(&Update::Waiting(Waiting::Worker(status.worker)))?;
            thread::sleep(MODEL_PACE);
        }
    }
    Ok(plan.shape.size(model.as_ref().map(|model| (model.width, model.height))))
}

fn advise(
    plan: &JobSpec,
    draw: &Params,
    model: &ModelInfo,
    observer: &mut dyn JobObserver,
) -> Result<(), Exit> {
    if let Some(before) = plan.drawn_by.as_ref().filter(|before| **before != model.name) {
        let now = &model.name;
        observer.warn(&format!("it was drawn by {before}; {now} will draw another image"))?;
    }
    advice(draw, model).iter().try_for_each(|text| observer.warn(text))
}

/// A job under way.
struct JobRun<'a> {
    plan: &'a JobSpec,
    session: &'a RunContext,
    draw: Params,
    model: Option<ModelInfo>,
    started: Option<Started>,
    sheet: Option<ContactSheet>,
}

impl JobRun<'_> {
    /// Goes along with the job to its end. `busy` becomes the milliseconds until there is a place,
    /// if there is none and the daemon knows.
    fn follow(
        mut self,
        mut job: Job,
        observer: &mut dyn JobObserver,
        attempt: &mut Attempt,
    ) -> Result<(), Exit> {
        while let Some(update) = job.next() {
            let update = update
                .inspect_err(|_| attempt.wait_ms = job.busy().and_then(|busy| busy.wait_ms))?;
            observer.update(&update)?;
            match update {
                Update::Accepted { .. } => attempt.accepted = true,
                Update::Started(started) => self.started(started, observer)?,
                Update::Image(image) => {
                    self.image(&image, observer)?;
                    attempt.saved = true;
                }
                _ => {}
            }
        }
        self.finish(observer)
    }

    fn started(&mut self, started: Started, observer: &mut dyn JobObserver) -> Result<(), Exit> {
        if self.model.is_none() {
            // It came while the job waited. To know more of it is worth a question, no failure.
            let asked = Client::connect(PROGRAM, &self.session.socket);
            self.model = asked.and_then(|mut client| client.status()).ok().and_then(|s| s.model);
            if let Some(model) = &self.model {
                advise(self.plan, &self.draw, model, observer)?;
            }
        }
        self.started = Some(started);
        Ok(())
    }

    /// Encodes an image and puts it where it belongs.
    fn image(&mut self, image: &Image, observer: &mut dyn JobObserver) -> Result<(), Exit> {
        let JobSpec { output, encoding, metadata: with_metadata, force, .. } = self.plan;
        let pixels = pixels(image);
        let generation = self.started.as_ref().filter(|_| *with_metadata).map(|started| {
            metadata::of_image(&self.draw, started, &image.info, self.model.as_ref())
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
            ImageOutput::Nowhere => observer.saved(&SavedImage { path: None, image, bytes: None }),
            ImageOutput::Stdout(format) => {
                let bytes = encode(*format)?;
                to_stdout(&bytes)?;
                observer.saved(&SavedImage { path: None, image, bytes: Some(bytes.len()) })
            }
            ImageOutput::Files(files) => {
                // The client has checked that the index is below the count.
                let Some(file) = files.get(image.info.index as usize) else {
                    let message = "an image without a name";
                    return Err(Failure::new(Kind::Internal, message).into());
                };
                let bytes = encode(file.format)?;
                self.to_file(file, &bytes, *force)?;
                observer.saved(&SavedImage {
                    path: Some(&file.path),
                    image,
                    bytes: Some(bytes.len()),
                })
            }
        }
    }

    /// Saves the sheet, if there is to be one.
    fn finish(self, observer: &mut dyn JobObserver) -> Result<(), Exit> {
        let Some((place, sheet)) = self.plan.output.sheet.as_ref().zip(self.sheet.as_ref()) else {
            return Ok(());
        };
        let pixels = sheet.pixels();
        let encode = |format: ImageFormat| {
            format
                .encode(pixels, self.plan.encoding, None)
                .map_err(|error| metadata::failure(&error))
        };
        match place {
            SheetOutput::Stdout(format) => {
                let bytes = encode(*format)?;
                to_stdout(&bytes)?;
                observer.sheet(None, pixels, bytes.len())
            }
            SheetOutput::File(file) => {
                let bytes = encode(file.format)?;
                self.to_file(file, &bytes, self.plan.force)?;
                observer.sheet(Some(&file.path), pixels, bytes.len())
            }
        }
    }

    fn to_file(&self, file: &OutputFile, bytes: &[u8], force: bool) -> Result<(), Failure> {
        // A pipe or device may take its time, and has no temporary file to be left behind.
        let _no_exit = (!file.special).then(|| self.session.interrupt.hold());
        save(file, bytes, force)
    }
}

fn pixels(image: &Image) -> Pixels<'_> {
    Pixels { width: image.info.width, height: image.info.height, rgb: &image.pixels }
}

fn to_stdout(bytes: &[u8]) -> Result<(), Exit> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Exit::stdout(&error))
}
