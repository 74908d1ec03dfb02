//! `--batch`: many images, several jobs at a time so that the GPU never waits for a file.

mod existing;
mod item;
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
use crate::run_job::{self, JobObserver, RunContext, SavedImage};
use crate::version::PROGRAM;
#[cfg(feature = "fuzzing")]
pub(crate) use item::BatchItem;
use reporter::{BatchReporter, SavedBatchImage};
use source::{BatchSource, ImageTask, NextImage};
use zimg_image::Pixels;

/// Images under way at a time, where the daemon has place for them.
const PARALLEL: u32 = 4;

/// How long a daemon that is gone is waited for, and how often it is looked for.
const ABSENCE: Duration = Duration::from_secs(60);
const ABSENCE_PACE: Duration = Duration::from_millis(250);

/// A batch that can begin.
pub(crate) struct Batch<'a> {
    /// The file, or "-".
    pub(crate) path: &'a Path,
    /// How many images are to be under way.
    pub(crate) parallel: Option<u32>,
    /// What was typed and is set, for all lines.
    pub(crate) options: DrawOptions,
    /// Whether the names are news to the user.
    pub(crate) paths: bool,
    pub(crate) style: ReportStyle,
}

/// What the threads share.
struct BatchRun<'a> {
    source: Mutex<BatchSource>,
    reporter: Mutex<BatchReporter>,
    /// Why the batch ends early.
    end: Mutex<Option<Exit>>,
    session: &'a RunContext,
}

impl Batch<'_> {
    /// Draws all images that are not there yet.
    ///
    /// # Errors
    ///
    /// The worst failure's kind. What makes every image fail, such as no daemon, ends the batch.
    pub(crate) fn draw(self, session: &RunContext) -> Result<(), Exit> {
        let all = source::count(self.path, &self.options);
        let source = BatchSource::open(self.path, self.options)?;
        let places = places(session)?;
        let threads = self.parallel.unwrap_or(PARALLEL).min(places).max(1);
        let mut reporter = BatchReporter::new(self.style, self.path, self.paths, all);
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

/// How many jobs the daemon takes of one user.
fn places(session: &RunContext) -> Result<u32, Failure> {
    let asked = Instant::now();
    let ask = || Client::connect(PROGRAM, &session.socket)?.overview();
    loop {
        match ask() {
            Ok(overview) => return Ok(overview.places.jobs_per_user),
            // A daemon that does not say it.
            Err(failure) if failure.kind == Kind::Usage => return Ok(PARALLEL),
            // ImageObserver that was started a moment ago does not listen yet.
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
    /// Takes images until there are no more.
    fn work(&self) {
        while !self.session.interrupt.interrupted() && locked(&self.end).is_none() {
            let Some(turn) = locked(&self.source).next() else { return };
            if let Err(stop) = self.take(turn) {
                locked(&self.end).get_or_insert(stop);
            }
        }
    }

    fn take(&self, turn: NextImage) -> Result<(), Exit> {
        let NextImage { line, index, task } = turn;
        let done = match task {
            Ok(ImageTask::Exists(path)) => return locked(&self.reporter).there(index, &path),
            Ok(ImageTask::Generate(plan)) => self.draw(index, &plan),
            Err(failure) => Err(failure.into()),
        };
        match done {
            // Ctrl-C, or `zimg cancel`, which is no failure of the batch but of this image.
            Err(Exit::Failed(failure)) if self.session.interrupt.interrupted() => {
                if failure.kind == Kind::Cancelled { Ok(()) } else { Err(failure.into()) }
            }
            Err(Exit::Failed(failure)) if !ends_all(failure.kind) => {
                locked(&self.reporter).failed(line, index, &failure)
            }
            other => other,
        }
    }

    /// Draws an image. A daemon that answered before and is gone is waited for: a service that
    /// is restarted is no reason to end a night's work.
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
    /// Whether the daemon is not there: it was not found, or it went while it drew.
    fn is_gone(&self, failure: &Failure) -> bool {
        let absent = |failure: &Failure| failure.kind == Kind::Unavailable;
        let now = || Client::connect(PROGRAM, &self.session.socket).err();
        absent(failure) || failure.kind == Kind::Internal && now().is_some_and(|f| absent(&f))
    }
}

/// What the next image would fail of as well.
fn ends_all(kind: Kind) -> bool {
    matches!(kind, Kind::Unavailable | Kind::Version | Kind::Permission | Kind::Config)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts one image on the reporter.
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
        locked(self.reporter).drawn(&SavedBatchImage {
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
