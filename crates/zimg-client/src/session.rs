//! Sessions: one request from submission to its end, over busy, restarting and missing daemons.
//!
//! A [`Session`] connects, submits, and passes on every [`Update`]. It submits the request again
//! when the daemon is full and the caller waits ([`RetryPolicy::waiting`]), and always when a
//! daemon that shuts down returns a job that it has accepted and not begun: where the service is
//! restarted, the next daemon generates it. It blocks and prints nothing; the caller's
//! [`SessionObserver`] is told everything and can end it with an error of its own.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use zimg_protocol::limits::HELLO_TIMEOUT;
use zimg_protocol::messages::{Generate, ModelInfo, Overview, Waiting, WorkerState};
use zimg_protocol::{Failure, Kind};

use crate::client::Client;
use crate::image_upload::{ImageUpload, UploadMethod};
use crate::job::{Canceller, Update};

/// How often a daemon that loads its model is asked for it.
const MODEL_INTERVAL: Duration = Duration::from_millis(200);
/// How often a daemon that does not listen is looked for.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);
/// The pause before a request is submitted again, if the daemon gives no estimate.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// The limits of that pause, if the daemon gives an estimate.
const BUSY_PAUSE_MIN: Duration = Duration::from_millis(100);
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a daemon that was started a moment ago may take until it listens.
const START: Duration = Duration::from_millis(500);
/// How long a restart may take: the running image is finished first, for at most a minute.
const RESTART: Duration = Duration::from_secs(120);

/// How long a session waits for a daemon, and whether it waits for a place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Whether a request that a full daemon refuses is submitted again.
    pub resubmit: bool,
    /// How long to look for a daemon that does not listen.
    pub absence: Duration,
}

impl RetryPolicy {
    /// A full daemon's refusal is final, and a missing daemon gets the moment that it needs to
    /// start (`zimaged &`, and the next line generates).
    pub const FAIL: Self = Self { resubmit: false, absence: START };

    /// Waits for a place in the queue, and for a daemon that is restarted.
    pub const WAIT: Self = Self { resubmit: true, absence: RESTART };

    /// [`RetryPolicy::WAIT`] or [`RetryPolicy::FAIL`].
    pub fn waiting(wait: bool) -> Self {
        if wait { Self::WAIT } else { Self::FAIL }
    }
}

/// Why a session waits before its request is accepted.
#[derive(Debug)]
pub enum SessionWait<'a> {
    /// No daemon listens; told once for each search, when it takes longer than a start.
    Absent(&'a Failure),
    /// The daemon listens and does not answer; it may be restarted. Told once.
    Unanswered,
    /// The daemon is full or shuts down; the next attempt comes after `pause`.
    Busy {
        /// The refusal.
        failure: &'a Failure,
        /// The time until the next attempt.
        pause: Duration,
    },
}

/// The caller's side of a session. Every error ends the session and is returned unchanged.
pub trait SessionObserver {
    /// The caller's error, of which failures of the session are one kind.
    type Error: From<Failure>;

    /// Whether [`SessionObserver::prepare`] needs the model: if so, the session waits until it is
    /// loaded.
    fn needs_model(&self) -> bool {
        false
    }

    /// Returns the request, at each attempt. `model` is the daemon's if it has one yet, and `begin`
    /// is when a job that is submitted now would begin, as the daemon estimates it.
    fn prepare(
        &mut self,
        model: Option<&ModelInfo>,
        begin: Option<Instant>,
    ) -> Result<Generate, Self::Error>;

    /// The images that the request brings.
    fn images(&self) -> Vec<ImageUpload<'_>> {
        Vec::new()
    }

    /// The request is submitted; an attached job can be cancelled. The canceller keeps the
    /// connection open: drop it at [`SessionObserver::disconnected`].
    fn submitted(&mut self, canceller: Canceller) {
        drop(canceller);
    }

    /// Something the daemon reports.
    fn update(&mut self, update: Update) -> Result<(), Self::Error>;

    /// The session waits.
    fn waiting(&mut self, wait: &SessionWait<'_>) -> Result<(), Self::Error>;

    /// An attempt is over, and its connection closed.
    fn disconnected(&mut self) {}

    /// Whether the user has interrupted the session: it submits nothing again.
    fn interrupted(&self) -> bool {
        false
    }

    /// Sleeps; a caller that can be interrupted returns an error then.
    fn pause(&mut self, time: Duration) -> Result<(), Self::Error> {
        thread::sleep(time);
        Ok(())
    }
}

/// How to run requests against the daemon at one socket.
#[derive(Clone, Debug)]
pub struct Session {
    /// The caller's name and version, as in [`Client::connect`].
    pub program: String,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// When to try again.
    pub policy: RetryPolicy,
}

/// Why an attempt ended.
enum AttemptError<E> {
    /// The daemon or the connection to it failed.
    Daemon(Failure),
    /// The observer returned an error.
    Observer(E),
}

impl<E> From<Failure> for AttemptError<E> {
    fn from(failure: Failure) -> Self {
        Self::Daemon(failure)
    }
}

type AttemptResult<T, O> = Result<T, AttemptError<<O as SessionObserver>::Error>>;

/// How far an attempt got.
#[derive(Debug, Default)]
struct AttemptProgress {
    /// The daemon's estimate until there is a place, if it refused the request.
    place_in: Option<Duration>,
    accepted: bool,
    /// Whether an image has come.
    image: bool,
}

/// A daemon's answer before the request.
struct Introduction {
    client: Client,
    model: Option<ModelInfo>,
    /// The estimate until a job that is submitted now would begin.
    begin_in: Option<Duration>,
}

impl Session {
    /// Runs one request to its end: `Update::Done`, or `Update::Accepted` if it is detached.
    ///
    /// # Errors
    ///
    /// The observer's first error; else the daemon's refusal or failure that is not retried.
    /// Images that have come by then are complete.
    pub fn run<O: SessionObserver>(&self, observer: &mut O) -> Result<(), O::Error> {
        let mut returned = None;
        loop {
            let mut progress = AttemptProgress::default();
            let ended = self.attempt(observer, &mut progress);
            observer.disconnected();
            let failure = match ended {
                Ok(()) => return Ok(()),
                Err(AttemptError::Observer(error)) => return Err(error),
                Err(AttemptError::Daemon(failure)) => failure,
            };
            let resubmit = self.policy.resubmit || (progress.accepted && !progress.image);
            match failure.kind {
                Kind::Busy if resubmit && !observer.interrupted() => {
                    let pause = progress.place_in.unwrap_or(BUSY_PAUSE);
                    let pause = pause.clamp(BUSY_PAUSE_MIN, BUSY_PAUSE_MAX);
                    observer.waiting(&SessionWait::Busy { failure: &failure, pause })?;
                    observer.pause(pause)?;
                    returned = progress.accepted.then_some(failure);
                }
                // No other daemon has taken the place of the one that returned the job.
                Kind::Unavailable => return Err(returned.unwrap_or(failure).into()),
                _ => return Err(failure.into()),
            }
        }
    }

    fn attempt<O: SessionObserver>(
        &self,
        observer: &mut O,
        progress: &mut AttemptProgress,
    ) -> AttemptResult<(), O> {
        let asked = Instant::now();
        let Introduction { mut client, mut model, begin_in } = self.introduce(observer)?;
        while observer.needs_model() && model.is_none() {
            let status = client.status()?;
            let worker = status.first_worker();
            if let WorkerState::Failed(failure) = &worker.state {
                return Err(failure.clone().into());
            }
            model = worker.model.clone();
            if model.is_none() {
                let waiting = Update::Waiting(Waiting::Worker(worker.state.clone()));
                observer.update(waiting).map_err(AttemptError::Observer)?;
                observer.pause(MODEL_INTERVAL).map_err(AttemptError::Observer)?;
            }
        }
        let begin = begin_in.map(|time| asked + time);
        let submit = observer.prepare(model.as_ref(), begin).map_err(AttemptError::Observer)?;
        let detached = submit.detach;
        let images = observer.images();
        let mut job = match &*images {
            [] => client.generate(submit)?,
            images => client.generate_from(submit, images, UploadMethod::Memory)?,
        };
        if !detached {
            observer.submitted(job.canceller()?);
        }
        while let Some(update) = job.next() {
            let update = update.inspect_err(|_| {
                let wait_ms = job.busy().and_then(|busy| busy.wait_ms);
                progress.place_in = wait_ms.map(Duration::from_millis);
            })?;
            progress.accepted |= matches!(update, Update::Accepted { .. });
            let is_image = matches!(update, Update::Image(_));
            observer.update(update).map_err(AttemptError::Observer)?;
            progress.image |= is_image;
        }
        Ok(())
    }

    /// Connects, and asks for the model and the estimate.
    fn introduce<O: SessionObserver>(&self, observer: &mut O) -> AttemptResult<Introduction, O> {
        let mut client = self.connect(observer)?;
        let Overview { status, wait_ms, .. } = client.overview()?;
        let begin_in = wait_ms.map(Duration::from_millis);
        Ok(Introduction { client, model: status.model().cloned(), begin_in })
    }

    /// Connects to a daemon that may be about to listen.
    fn connect<O: SessionObserver>(&self, observer: &mut O) -> AttemptResult<Client, O> {
        let asked = Instant::now();
        let mut told = false;
        loop {
            let failure = match self.connect_once(observer) {
                Err(AttemptError::Daemon(failure))
                    if failure.kind == Kind::Unavailable
                        && asked.elapsed() < self.policy.absence =>
                {
                    failure
                }
                other => return other,
            };
            if self.policy.absence > START && asked.elapsed() > START && !told {
                told = true;
                observer.waiting(&SessionWait::Absent(&failure)).map_err(AttemptError::Observer)?;
            }
            observer.pause(CONNECT_INTERVAL).map_err(AttemptError::Observer)?;
        }
    }

    /// Connects to a daemon that listens. One that does not answer at once may be restarted.
    fn connect_once<O: SessionObserver>(&self, observer: &mut O) -> AttemptResult<Client, O> {
        let asked = Instant::now();
        let mut told = Ok(());
        let client = Client::connect_waiting(&self.program, &self.socket, || {
            if asked.elapsed() < 2 * HELLO_TIMEOUT {
                told = observer.waiting(&SessionWait::Unanswered);
            }
            told.is_ok() && asked.elapsed() < RESTART && !observer.interrupted()
        });
        told.map_err(AttemptError::Observer)?;
        Ok(client?)
    }
}
