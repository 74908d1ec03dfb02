//! The daemon as async code sees it: questions, and jobs whose updates come through a channel.
//!
//! `zimg-client` blocks, so each conversation has a thread of the runtime's blocking pool. Their
//! number is bounded: zimaged gives one user three quarters of its connections.

mod connection;
mod encode;
mod inputs;
mod job;
mod questions;
mod shared_answer;
mod stored;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use zimg_client::Client;

pub(crate) use connection::on_thread;
pub(crate) use encode::thumbnail;
pub use encode::{JobContext, encode, encode_base64, encode_preview};
pub(crate) use inputs::{InputFiles, SentFile};
pub use job::RunningJob;
use questions::Lane;
use shared_answer::SharedAnswer;
pub use stored::StoredImage;
pub use zimg_client::{
    Capabilities, Expiries, Failure, Generate, Image, ImageInfo, JobId, JobInfo, JobState, Kind,
    LoraInfo, Loras, ModelInfo, Overview, Params, Preview, Priority, Started, Status, Step,
    Timings, Update, Waiting, WorkerState,
};

use crate::access::User;
use crate::problem::{Problem, Reason};

/// The name in sentences about versions, and in generation metadata.
pub const PROGRAM: &str = concat!("zimg-web ", env!("CARGO_PKG_VERSION"));

/// Connections for questions of one request; the others are for answers that requests share, and
/// for jobs.
const QUESTIONS: usize = 3;
/// How old an overview may be.
const OVERVIEW_AGE: Duration = Duration::from_millis(300);
/// How old the times of expiry may be.
const EXPIRIES_AGE: Duration = Duration::from_secs(1);
/// How old an answer may be that is given out at once, while a newer one is asked for.
const AT_HAND_AGE: Duration = Duration::from_secs(2);
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
    overview: SharedAnswer<Overview>,
    list: SharedAnswer<Vec<JobInfo>>,
    expiries: SharedAnswer<Option<Expiries>>,
    /// As it was last known.
    model: Mutex<Option<Arc<ModelInfo>>>,
}

impl Daemon {
    /// Does not connect yet.
    pub fn new(config: DaemonConfig) -> Self {
        Self(Arc::new(Shared {
            socket: config.socket,
            jobs: Arc::new(Semaphore::new(config.connections.max(1))),
            questions: Lane::new(QUESTIONS),
            overview: SharedAnswer::new(Client::overview),
            list: SharedAnswer::new(Client::jobs),
            expiries: SharedAnswer::new(Client::expiries),
            model: Mutex::default(),
        }))
    }

    /// The daemon's state, at most 300 ms old.
    ///
    /// # Errors
    ///
    /// No daemon answers, or it is not this user's.
    pub async fn overview(&self) -> Result<Arc<Overview>, Problem> {
        let overview = match self.0.overview.within(OVERVIEW_AGE) {
            Some(known) => known,
            None => self.answer_since(|shared| &shared.overview, Instant::now()).await?,
        };
        self.note_model(&overview);
        Ok(overview)
    }

    /// The daemon's state as it was last known, at most two seconds old: the daemon is waited for
    /// only if nothing newer is known.
    ///
    /// # Errors
    ///
    /// As [`Self::overview`].
    pub(crate) async fn overview_at_hand(&self) -> Result<Arc<Overview>, Problem> {
        match self.answer_at_hand(|shared| &shared.overview, OVERVIEW_AGE, AT_HAND_AGE) {
            Some(known) => {
                self.note_model(&known);
                Ok(known)
            }
            None => self.overview().await,
        }
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
        self.0.model.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_model(&self, overview: &Overview) {
        let Some(model) = overview.status.model() else { return };
        let mut known = self.0.model.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != Some(model) {
            *known = Some(Arc::new(model.clone()));
        }
    }

    /// How long detached jobs stay, and when those that have ended expire, at most a second old and
    /// with these jobs; none if no daemon answers or an older one does.
    pub(crate) async fn expiries(&self, jobs: &[JobInfo]) -> Option<Arc<Option<Expiries>>> {
        let ended = |info: &&JobInfo| matches!(info.state, JobState::Done | JobState::Failed(_));
        let has = |expiries: &Expiries, job| expiries.jobs.iter().any(|other| other.job == job);
        let all = |answer: &Arc<Option<Expiries>>| match answer.as_ref() {
            Some(expiries) => jobs.iter().filter(ended).all(|info| has(expiries, info.job)),
            None => true,
        };
        if let Some(known) = self.0.expiries.within(EXPIRIES_AGE).filter(all) {
            return Some(known);
        }
        self.answer_since(|shared| &shared.expiries, Instant::now()).await.ok()
    }

    /// How long detached jobs stay, as it was last known.
    pub(crate) async fn expiries_at_hand(&self) -> Option<Arc<Option<Expiries>>> {
        match self.answer_at_hand(|shared| &shared.expiries, EXPIRIES_AGE, AT_HAND_AGE) {
            Some(known) => Some(known),
            None => self.expiries(&[]).await,
        }
    }

    /// The jobs of a user, in the order of the daemon.
    ///
    /// # Errors
    ///
    /// No daemon answers.
    pub async fn jobs(&self, user: &User) -> Result<Vec<JobInfo>, Problem> {
        let list = self.list().await?;
        Ok(list.iter().filter(|job| is_ours(job) && user.owns(job)).cloned().collect())
    }

    /// The jobs of all users of this process.
    ///
    /// # Errors
    ///
    /// No daemon answers.
    pub(crate) async fn all_jobs(&self) -> Result<Vec<JobInfo>, Problem> {
        let list = self.list().await?;
        Ok(list.iter().filter(|job| is_ours(job)).cloned().collect())
    }

    /// A user's job; another user's is not found.
    ///
    /// # Errors
    ///
    /// There is no such job, or no daemon answers.
    pub async fn job(&self, user: &User, job: JobId) -> Result<JobInfo, Problem> {
        let list = self.list().await?;
        let is_it = |info: &&JobInfo| info.job == job && is_ours(info) && user.owns(info);
        list.iter().find(is_it).cloned().ok_or_else(|| no_job(job))
    }

    /// The daemon's list, asked for now or later.
    async fn list(&self) -> Result<Arc<Vec<JobInfo>>, Problem> {
        self.answer_since(|shared| &shared.list, Instant::now()).await
    }

    /// Stops an unfinished job of a user, as [`Self::job`] has found it.
    ///
    /// # Errors
    ///
    /// It has ended, or no daemon answers.
    pub async fn cancel(&self, job: &JobInfo) -> Result<(), Problem> {
        let job = job.job;
        self.ask(move |client| client.cancel(job)).await
    }

    /// Deletes an ended job of a user with its images, as [`Self::job`] has found it.
    ///
    /// # Errors
    ///
    /// It has not ended, or no daemon answers.
    pub async fn forget(&self, job: &JobInfo) -> Result<(), Problem> {
        let job = job.job;
        self.ask(move |client| client.forget(job)).await
    }

    /// The LoRAs that a request can name.
    ///
    /// # Errors
    ///
    /// No daemon answers, or the model was not loaded yet.
    pub async fn loras(&self) -> Result<Loras, Problem> {
        self.ask(Client::loras).await
    }

    /// Loads the model before a prompt does.
    ///
    /// # Errors
    ///
    /// No daemon answers.
    pub async fn wake(&self) -> Result<(), Problem> {
        self.ask(Client::wake).await
    }
}

/// Whether a job was submitted by this process's user: root sees those of all users.
fn is_ours(job: &JobInfo) -> bool {
    job.uid == rustix::process::getuid().as_raw()
}

/// The same for another user's job.
pub(crate) fn no_job(job: JobId) -> Problem {
    Problem::not_found(format!("there is no job {job} of yours"))
}
