//! The daemon as async code sees it: questions, and jobs whose updates come through a channel.
//!
//! `zimg-client` blocks, so each conversation has a thread of the runtime's blocking pool. Their
//! number is bounded: zimaged gives one user three quarters of its connections.

mod connection;
mod encode;
mod job;
mod questions;
mod stored;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use zimg_client::Client;

pub(crate) use connection::on_thread;
pub(crate) use encode::thumbnail;
pub use encode::{JobContext, encode, encode_preview};
pub use job::RunningJob;
use questions::Lane;
pub use stored::StoredImage;
pub use zimg_client::{
    Capabilities, Expiries, Failure, Generate, Image, ImageInfo, JobId, JobInfo, JobState, Kind,
    ModelInfo, Overview, Params, Preview, Priority, Started, Status, Step, Timings, Update,
    Waiting, WorkerState,
};

use crate::access::User;
use crate::problem::{Problem, Reason};

/// The name in sentences about versions, and in generation metadata.
pub const PROGRAM: &str = concat!("zimg-web ", env!("CARGO_PKG_VERSION"));

/// Connections for questions; the others are for jobs.
const QUESTIONS: usize = 4;
/// How old an overview may be.
/// The tracker asks more often than this while a job is under way, so that a page that asks is
/// answered from memory.
const OVERVIEW_AGE: Duration = Duration::from_millis(300);
/// How old the times of expiry may be.
const EXPIRIES_AGE: Duration = Duration::from_secs(1);
/// How long a job waits for a connection that other jobs have.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// Where the daemon is, and how much of it this process takes.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// Its socket.
    pub socket: PathBuf,
    /// Connections that jobs may have at a time.
    pub connections: usize,
}

/// The daemon.
#[derive(Clone, Debug)]
pub struct Daemon(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    jobs: Arc<Semaphore>,
    questions: Lane,
    /// The overview does not wait behind other questions: probes and pages ask for it.
    overviews: Lane,
    seen: Mutex<Seen>,
}

/// What the daemon said last.
#[derive(Debug, Default)]
struct Seen {
    overview: Option<(Instant, Arc<Overview>)>,
    model: Option<Arc<ModelInfo>>,
    expiries: Option<(Instant, Arc<Expiries>)>,
}

impl Daemon {
    /// Does not connect yet.
    pub fn new(config: DaemonConfig) -> Self {
        Self(Arc::new(Shared {
            socket: config.socket,
            jobs: Arc::new(Semaphore::new(config.connections.max(1))),
            questions: Lane::new(QUESTIONS),
            overviews: Lane::new(1),
            seen: Mutex::default(),
        }))
    }

    /// The daemon's state, at most 300 ms old.
    ///
    /// # Errors
    ///
    /// No daemon answers, or it is not this user's.
    pub async fn overview(&self) -> Result<Arc<Overview>, Problem> {
        let recent = || {
            let seen = self.seen();
            let (at, overview) = seen.overview.as_ref()?;
            (at.elapsed() < OVERVIEW_AGE).then(|| Arc::clone(overview))
        };
        if let Some(overview) = recent() {
            return Ok(overview);
        }
        let turn = self.0.overviews.turn().await?;
        // Others may have asked meanwhile.
        if let Some(overview) = recent() {
            return Ok(overview);
        }
        let overview =
            Arc::new(self.ask_in(turn, |shared| &shared.overviews, Client::overview).await?);
        let mut seen = self.seen();
        if let Some(model) = overview.status.model() {
            seen.model = Some(Arc::new(model.clone()));
        }
        seen.overview = Some((Instant::now(), Arc::clone(&overview)));
        Ok(overview)
    }

    /// The model as it was last known: it stays while the daemon is away or asleep.
    ///
    /// # Errors
    ///
    /// No daemon has answered yet, or it has not loaded a model yet.
    pub async fn model(&self) -> Result<Arc<ModelInfo>, Problem> {
        if let Some(model) = self.known_model() {
            return Ok(model);
        }
        self.overview().await?;
        self.known_model().ok_or_else(|| {
            Problem::new(Reason::Unavailable, "the model is not loaded yet").hint("try again")
        })
    }

    /// The model as it was last known, without a question.
    pub fn known_model(&self) -> Option<Arc<ModelInfo>> {
        self.seen().model.clone()
    }

    /// How long detached jobs stay, and when those that have ended expire, at most a second old and
    /// with these jobs; none if no daemon answers or an older one does.
    pub(crate) async fn expiries(&self, jobs: &[JobInfo]) -> Option<Arc<Expiries>> {
        let ended = |info: &&JobInfo| matches!(info.state, JobState::Done | JobState::Failed(_));
        let has = |expiries: &Expiries, job| expiries.jobs.iter().any(|other| other.job == job);
        if let Some((at, expiries)) = &self.seen().expiries
            && at.elapsed() < EXPIRIES_AGE
            && jobs.iter().filter(ended).all(|info| has(expiries, info.job))
        {
            return Some(Arc::clone(expiries));
        }
        let expiries = Arc::new(self.ask(Client::expiries).await.ok()??);
        self.seen().expiries = Some((Instant::now(), Arc::clone(&expiries)));
        Some(expiries)
    }

    /// The jobs of a user, in the order of the daemon.
    ///
    /// # Errors
    ///
    /// No daemon answers.
    pub async fn jobs(&self, user: &User) -> Result<Vec<JobInfo>, Problem> {
        let mut jobs = self.all_jobs().await?;
        jobs.retain(|job| user.owns(job));
        Ok(jobs)
    }

    /// The jobs of all users of this process.
    ///
    /// # Errors
    ///
    /// No daemon answers.
    pub(crate) async fn all_jobs(&self) -> Result<Vec<JobInfo>, Problem> {
        let own = rustix::process::getuid().as_raw();
        let mut jobs = self.ask(Client::jobs).await?;
        // Root sees those of all users.
        jobs.retain(|job| job.uid == own);
        Ok(jobs)
    }

    /// A user's job; another user's is not found.
    ///
    /// # Errors
    ///
    /// There is no such job, or no daemon answers.
    pub async fn job(&self, user: &User, job: JobId) -> Result<JobInfo, Problem> {
        let jobs = self.jobs(user).await?;
        jobs.into_iter().find(|info| info.job == job).ok_or_else(|| no_job(job))
    }

    /// Stops an unfinished job of this user.
    ///
    /// # Errors
    ///
    /// There is no such job, it has ended, or no daemon answers.
    pub async fn cancel(&self, user: &User, job: JobId) -> Result<(), Problem> {
        self.job(user, job).await?;
        self.ask(move |client| client.cancel(job)).await
    }

    /// Deletes an ended job of this user with its images.
    ///
    /// # Errors
    ///
    /// There is no such job, it has not ended, or no daemon answers.
    pub async fn forget(&self, user: &User, job: JobId) -> Result<(), Problem> {
        self.job(user, job).await?;
        self.ask(move |client| client.forget(job)).await
    }

    /// Loads the model before a prompt does.
    ///
    /// # Errors
    ///
    /// No daemon answers.
    pub async fn wake(&self) -> Result<(), Problem> {
        self.ask(Client::wake).await
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for another user's job.
pub(crate) fn no_job(job: JobId) -> Problem {
    Problem::not_found(format!("there is no job {job} of yours"))
}
