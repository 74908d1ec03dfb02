//! The jobs of each user that came through this API and have not ended: A1111's clients ask for
//! "the" progress and interrupt "the" job, which is their own here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use zimg_client::{Preview, Step, Update, Waiting};

use super::progress::Progress;
use crate::access::User;

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs(Arc<Mutex<HashMap<User, Vec<Arc<Entry>>>>>);

/// A job.
#[derive(Debug)]
struct Entry {
    state: Mutex<EntryState>,
    interrupted: Notify,
}

#[derive(Debug)]
struct EntryState {
    progress: Progress,
    preview: Option<Preview>,
}

/// A job's place among those of its user; dropping it gives it up.
#[derive(Debug)]
pub(super) struct Place {
    jobs: Jobs,
    user: User,
    entry: Arc<Entry>,
}

impl Jobs {
    /// Adds a job of so many images.
    pub(super) fn enter(&self, user: &User, count: u32, job_timestamp: String) -> Place {
        let progress = Progress { count, job_timestamp, ..Progress::default() };
        let state = Mutex::new(EntryState { progress, preview: None });
        let entry = Arc::new(Entry { state, interrupted: Notify::new() });
        self.all().entry(user.clone()).or_default().push(Arc::clone(&entry));
        Place { jobs: self.clone(), user: user.clone(), entry }
    }

    /// How far the user's first job is, with its latest preview.
    pub(super) fn first(&self, user: &User) -> Option<(Progress, Option<Preview>)> {
        let entry = self.all().get(user)?.first().cloned()?;
        let state = entry.state();
        Some((state.progress.clone(), state.preview.clone()))
    }

    /// Interrupts all jobs of the user.
    pub(super) fn interrupt(&self, user: &User) {
        for entry in self.all().get(user).into_iter().flatten() {
            entry.state().progress.interrupted = true;
            entry.interrupted.notify_one();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<User, Vec<Arc<Entry>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the job is interrupted.
    pub(super) async fn interrupted(&self) {
        self.entry.interrupted.notified().await;
    }

    /// Notes an update of the job.
    pub(super) fn note(&self, update: &Update) {
        let mut state = self.entry.state();
        let progress = &mut state.progress;
        match update {
            Update::Accepted { position, .. } | Update::Waiting(Waiting::Queue { position }) => {
                progress.waiting = Some(format!("{position} jobs are before this one"));
            }
            Update::Waiting(_) => progress.waiting = Some("the model is not ready".to_owned()),
            Update::Started(started) => {
                progress.steps = started.steps;
                progress.waiting = None;
            }
            Update::Step(Step { image, step, of, ms }) => {
                (progress.image, progress.step) = (*image, *step);
                (progress.steps, progress.step_ms) = (*of, *ms);
                progress.waiting = None;
            }
            Update::Preview(preview) => state.preview = Some(preview.clone()),
            _ => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.jobs.all();
        if let Some(jobs) = all.get_mut(&self.user) {
            jobs.retain(|entry| !Arc::ptr_eq(entry, &self.entry));
            if jobs.is_empty() {
                all.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_and_interrupts_own_jobs_alone() {
        let jobs = Jobs::default();
        let (ann, bob) = (User::named("ann"), User::named("bob"));
        assert_eq!(jobs.first(&ann), None);
        let first = jobs.enter(&ann, 2, "0".to_owned());
        let _second = jobs.enter(&ann, 1, "0".to_owned());
        let other = jobs.enter(&bob, 4, "0".to_owned());
        first.note(&Update::Step(Step { image: 1, step: 3, of: 8, ms: 5.0 }));
        let (progress, _) = jobs.first(&ann).unwrap();
        assert_eq!((progress.count, progress.image, progress.step), (2, 1, 3));
        assert_eq!(jobs.first(&bob).unwrap().0.step, 0);
        jobs.interrupt(&ann);
        assert!(jobs.first(&ann).unwrap().0.interrupted);
        assert!(!jobs.first(&bob).unwrap().0.interrupted);
        drop(first);
        assert_eq!(jobs.first(&ann).unwrap().0.count, 1);
        drop(other);
        assert_eq!(jobs.first(&bob), None);
        assert!(!jobs.all().contains_key(&bob));
    }
}
