//! The tracker: detached jobs of the users that have a page open, and what happens to them.
//!
//! The daemon's list is asked a few times a second, and the first unfinished jobs are followed
//! over connections of their own, which bring previews and steps at once. A job that is not
//! followed is known by the list. Nothing here outlives the process: the daemon's job store has
//! the jobs, and the list brings them back.

mod event;
mod follow;
mod log;
mod poll;
mod reader;
mod recent;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use zimg_client::{JobId, Params, Started};

pub(crate) use event::{FailureFields, JobEvent, from_one};
use log::Log;
use recent::RecentImages;
use table::Table;

use crate::access::{User, random_text};
use crate::daemon::Daemon;
use crate::problem::{Problem, Reason};
use crate::status::FrontInfo;

/// Streams of one user at a time.
const READERS_PER_USER: usize = 256;

/// Jobs and their events.
#[derive(Clone, Debug)]
pub struct Tracker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    daemon: Daemon,
    front: FrontInfo,
    epoch: Arc<str>,
    state: Mutex<State>,
    /// Wakes the poll.
    news: Notify,
    /// Jobs that may be followed at a time.
    follow_max: usize,
    recent: Mutex<RecentImages>,
}

#[derive(Debug, Default)]
struct State {
    logs: HashMap<User, Log>,
    readers: HashMap<User, usize>,
    table: Table,
    /// Logs that were begun.
    begun: u64,
    /// The last `status`.
    status: Option<Value>,
    /// The daemon has not answered since the last list.
    is_lost: bool,
}

impl Tracker {
    /// Nothing is asked before a page is open. `follow_max`: connections for following jobs.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn new(daemon: Daemon, front: FrontInfo, follow_max: usize) -> std::io::Result<Self> {
        let random = random_text()?;
        let epoch = random.chars().filter(char::is_ascii_alphanumeric).take(8);
        Ok(Self(Arc::new(Shared {
            daemon,
            front,
            epoch: epoch.collect::<String>().into(),
            state: Mutex::default(),
            news: Notify::new(),
            follow_max: follow_max.max(1),
            recent: Mutex::default(),
        })))
    }

    /// A job that was submitted a moment ago.
    pub(crate) fn submitted(&self, user: &User, job: JobId, position: u32, params: Params) {
        let mut state = self.state();
        state.table.submitted(user, job, params);
        let log = state.log(user, &self.0.epoch);
        log.push(Some(job), &JobEvent::Accepted { position });
        let follow = state.table.follow(job, self.0.follow_max);
        drop(state);
        if follow {
            self.follow(job);
        }
        self.0.news.notify_one();
    }

    /// What is known of a job beyond the daemon's list.
    pub(crate) fn details(&self, job: JobId) -> Option<(Params, Option<Started>)> {
        self.state().table.details(job)
    }

    /// Notes what a job was asked for.
    pub(crate) fn note_details(
        &self,
        user: &User,
        job: JobId,
        params: &Params,
        started: Option<&Started>,
    ) {
        self.state().table.note_details(user, job, params, started);
    }

    /// A job was cancelled or deleted: the list is asked at once.
    pub(crate) fn changed(&self) {
        self.0.news.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, RecentImages> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image that was generated a moment ago.
    pub(crate) fn recent_image(
        &self,
        job: JobId,
        index: u32,
    ) -> Option<Arc<crate::daemon::StoredImage>> {
        self.recent().get(job, index)
    }
}

impl State {
    /// The log of a user. A new one has an epoch of its own, so that no id of another fits.
    fn log(&mut self, user: &User, epoch: &str) -> &mut Log {
        let begun = &mut self.begun;
        self.logs.entry(user.clone()).or_insert_with(|| {
            *begun += 1;
            Log::new(format!("{epoch}{begun}").into())
        })
    }

    /// Counts a reader.
    fn enter(&mut self, user: &User) -> Result<(), Problem> {
        let readers = self.readers.entry(user.clone()).or_default();
        if *readers >= READERS_PER_USER {
            let message = format!("{READERS_PER_USER} pages are open with this key");
            return Err(Problem::new(Reason::Busy, message).retry_after(Duration::from_secs(30)));
        }
        *readers += 1;
        Ok(())
    }

    fn leave(&mut self, user: &User) {
        if let Some(readers) = self.readers.get_mut(user) {
            *readers -= 1;
            if *readers == 0 {
                self.readers.remove(user);
            }
        }
    }
}
