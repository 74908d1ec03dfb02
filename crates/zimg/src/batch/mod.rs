//! `--batch`: many images, several jobs at a time so that the GPU never waits for a file.

mod a1111;
mod entries;
mod existing;
mod form;
mod item;
mod keys;
mod lines;
mod reporter;
mod source;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zimg_client::{Client, Failure, Kind, Update};

use crate::cli::DrawOptions;
use crate::exit::Exit;
use crate::job_spec::JobSpec;
use crate::progress::ReportStyle;
use crate::prompt_advice::prompt_advice;
use crate::run_job::{self, JobObserver, RunContext, SavedImage};
use crate::version::PROGRAM;
#[cfg(feature = "fuzzing")]
pub(crate) use item::BatchItem;
use reporter::{BatchReporter, SavedBatchImage};
use source::{BatchSource, ImageTask, NextImage};
use zimg_image::Pixels;

/// Jobs at a time, if the daemon's limit allows them.
const PARALLEL: u32 = 4;

/// How long to wait for a daemon that has gone, and the interval of attempts.
const ABSENCE: Duration = Duration::from_secs(60);
const ABSENCE_PACE: Duration = Duration::from_millis(250);

/// A batch before it starts.
pub(crate) struct Batch<'a> {
    /// The file, or "-".
    pub(crate) path: &'a Path,
    /// Jobs at a time.
    pub(crate) parallel: Option<u32>,
    /// Options and settings for all lines.
    pub(crate) options: DrawOptions,
    /// Whether to print the names, which the user did not choose.
    pub(crate) paths: bool,
    pub(crate) style: ReportStyle,
}

/// State that the threads of a batch share.
struct BatchRun<'a> {
    source: Mutex<BatchSource>,
    reporter: Mutex<BatchReporter>,
    /// Why the batch ends early.
    end: Mutex<Option<Exit>>,
    session: &'a RunContext,
}

impl Batch<'_> {
    /// Generates all images that do not exist yet.
    ///
    /// # Errors
    ///
    /// The kind of the worst failure. A failure that every image would have, such as no daemon,
    /// ends the batch.
    pub(crate) fn draw(self, session: &RunContext) -> Result<(), Exit> {
        let source = BatchSource::open(self.path, self.options)?;
        let places = places(session)?;
        let threads = self.parallel.unwrap_or(PARALLEL).min(places).max(1);
        let mut reporter = BatchReporter::new(self.style, self.path, self.paths, source.all());
        if source.all() == Some(0) {
            reporter.warn("the batch has no prompts")?;
        }
        reporter.show();
        session.interrupt.defer_exit();
        let shared = BatchRun {
            source: Mutex::new(source),
            reporter: Mutex::new(reporter),
            end: Mutex::new(None),
            session,
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| shared.work());
            }
        });
        let interrupted = session.interrupt.interrupted();
        let reporter = shared.reporter.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = shared.end.into_inner().unwrap_or_else(PoisonError::into_inner);
        let summary = reporter.finish(interrupted);
        match end {
            Some(stop) if !interrupted => Err(stop),
            _ => summary,
        }
    }
}

/// The daemon's limit of jobs per user.
fn places(session: &RunContext) -> Result<u32, Failure> {
    let asked = Instant::now();
    let ask = || Client::connect(PROGRAM, &session.socket)?.overview();
    loop {
        match ask() {
            Ok(overview) => return Ok(overview.limits.jobs_per_user),
            // The daemon does not report it.
            Err(failure) if failure.kind == Kind::Usage => return Ok(PARALLEL),
            // A daemon that was started a moment ago does not listen yet.
            Err(failure)
                if failure.kind == Kind::Unavailable && asked.elapsed() < session.absence =>
            {
                session.interrupt.sleep(RunContext::PACE)?;
            }
            Err(failure) => return Err(failure),
        }
    }
}

impl BatchRun<'_> {
    /// Generates images until there are no more.
    fn work(&self) {
        while !self.session.interrupt.interrupted() && locked(&self.end).is_none() {
            let Some(turn) = locked(&self.source).next() else { return };
            if let Err(stop) = self.take(turn) {
                locked(&self.end).get_or_insert(stop);
            }
        }
    }

    fn take(&self, turn: NextImage) -> Result<(), Exit> {
        let NextImage { line, index, task, told } = turn;
        told.iter().try_for_each(|text| locked(&self.reporter).warn(text))?;
        if let Ok(ImageTask::Generate(plan)) = &task {
            let inputs = plan.inputs.as_ref().and_then(|inputs| inputs.told.as_deref());
            let control = plan.control.as_ref().and_then(|control| control.told.as_deref());
            inputs
                .into_iter()
                .chain(control)
                .try_for_each(|text| locked(&self.reporter).warn(text))?;
            let notes = prompt_advice(&plan.draw);
            notes.iter().try_for_each(|note| locked(&self.reporter).advise(line, note))?;
        }
        let done = match task {
            Ok(ImageTask::Exists(path)) => return locked(&self.reporter).there(index, &path),
            Ok(ImageTask::Generate(plan)) => self.draw(index, &plan),
            Err(failure) => Err(failure.into()),
        };
        match done {
            // Ctrl-C ends the batch; `zimg cancel` is a failure of this image only.
            Err(Exit::Failed(failure)) if self.session.interrupt.interrupted() => {
                if failure.kind == Kind::Cancelled { Ok(()) } else { Err(failure.into()) }
            }
            Err(Exit::Failed(failure)) if !ends_all(failure.kind) => {
                locked(&self.reporter).failed(line, index, &failure)
            }
            other => other,
        }
    }

    /// Generates an image. Waits for a daemon that has gone: a restart of the service does not end
    /// a batch.
    fn draw(&self, index: u64, plan: &JobSpec) -> Result<(), Exit> {
        let mut one = ImageObserver { reporter: &self.reporter, index };
        let until = Instant::now() + ABSENCE;
        loop {
            match run_job::run(plan, self.session, &mut one) {
                Err(Exit::Failed(failure)) if self.is_gone(&failure) && Instant::now() < until => {
                    one.warn("the daemon does not answer; waiting for a restart")?;
                    self.session.interrupt.sleep(ABSENCE_PACE)?;
                }
                other => return other,
            }
        }
    }
}

impl BatchRun<'_> {
    /// Whether the daemon does not run: it was not found, or it went during the job.
    fn is_gone(&self, failure: &Failure) -> bool {
        let absent = |failure: &Failure| failure.kind == Kind::Unavailable;
        let now = || Client::connect(PROGRAM, &self.session.socket).err();
        absent(failure) || failure.kind == Kind::Internal && now().is_some_and(|f| absent(&f))
    }
}

/// Whether every other image would fail with this kind, too.
fn ends_all(kind: Kind) -> bool {
    matches!(kind, Kind::Unavailable | Kind::Version | Kind::Permission | Kind::Config)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Observer of one image, which reports to the batch.
struct ImageObserver<'a> {
    reporter: &'a Mutex<BatchReporter>,
    index: u64,
}

impl JobObserver for ImageObserver<'_> {
    fn update(&mut self, _: &Update) -> Result<(), Exit> {
        Ok(())
    }

    fn saved(&mut self, saved: &SavedImage<'_>) -> Result<(), Exit> {
        let SavedImage { path, image, bytes } = saved;
        locked(self.reporter).generated(&SavedBatchImage {
            index: self.index,
            path: path.map(Path::to_owned).unwrap_or_default(),
            seed: image.info.seed,
            size: (image.info.width, image.info.height),
            bytes: bytes.unwrap_or_default(),
        })
    }

    fn sheet(&mut self, _: Option<&Path>, _: Pixels<'_>, _: usize) -> Result<(), Exit> {
        Ok(())
    }

    fn warn(&mut self, text: &str) -> Result<(), Exit> {
        locked(self.reporter).warn(text)
    }

    fn begins(&mut self, _: Option<Instant>) {}

    fn busy(&mut self, _: &Failure, _: Duration) -> Result<(), Exit> {
        Ok(())
    }
}
