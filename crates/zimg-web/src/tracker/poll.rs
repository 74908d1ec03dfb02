//! The poll: the daemon's list and status, as long as a page is open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use zimg_client::JobInfo;

use super::Tracker;
use super::event::JobEvent;
use super::log::Log;
use crate::access::User;
use crate::daemon::{Expiries, Overview};
use crate::problem::Problem;
use crate::status;

/// While a job is under way.
const BUSY: Duration = Duration::from_millis(250);
/// While a page is open.
const IDLE: Duration = Duration::from_secs(1);
/// Between two polls, whatever happens.
const LEAST: Duration = Duration::from_millis(20);

impl Tracker {
    /// Runs until the program ends.
    pub(crate) async fn run(self) {
        loop {
            match self.interval() {
                Some(interval) => _ = timeout(interval, self.0.news.notified()).await,
                None => self.0.news.notified().await,
            }
            let begun = Instant::now();
            self.poll().await;
            tokio::time::sleep_until((begun + LEAST).into()).await;
        }
    }

    /// How long until the next poll; none if nothing needs one.
    fn interval(&self) -> Option<Duration> {
        let recent = self.recent().expire();
        let state = self.state();
        let read = state.logs.values().any(Log::is_read);
        match (read, state.table.has_unfinished()) {
            (true, true) => Some(BUSY),
            (true, false) => Some(IDLE),
            (false, _) => recent.then_some(IDLE),
        }
    }

    async fn poll(&self) {
        let read = self.state().logs.values().any(Log::is_read);
        if !read {
            return;
        }
        let overview = self.0.daemon.overview().await;
        let asked = Instant::now();
        let list = match &overview {
            Ok(_) => self.0.daemon.all_jobs().await.ok(),
            Err(_) => None,
        };
        let expiries = self.0.daemon.expiries(&[]).await;
        self.tell_status(overview.as_ref(), expiries.as_deref().and_then(Option::as_ref));
        match list {
            Some(list) => self.compare(&list, asked),
            None => self.state().is_lost = true,
        }
    }

    fn tell_status(&self, overview: Result<&Arc<Overview>, &Problem>, expiries: Option<&Expiries>) {
        let model = self.0.daemon.known_model();
        let value =
            status::value(overview.map(AsRef::as_ref), model.as_deref(), expiries, &self.0.front);
        let mut state = self.state();
        if state.status.as_ref().is_some_and(|told| !status::is_news(told, &value)) {
            return;
        }
        for log in state.logs.values_mut().filter(|log| log.is_read()) {
            log.push(None, &JobEvent::Status(value.clone()));
        }
        state.status = Some(value);
    }

    fn compare(&self, list: &[JobInfo], asked: Instant) {
        let mut state = self.state();
        let state = &mut *state;
        state.logs.retain(|_, log| log.is_wanted());
        if std::mem::take(&mut state.is_lost) {
            // Jobs may have come and gone while no list could be had.
            state.logs.values_mut().for_each(|log| log.push(None, &JobEvent::Reset {}));
        }
        let logs = &state.logs;
        state.table.retain_users(|user| logs.contains_key(user));
        let present = |info: &JobInfo| {
            let user = User::of_job(info);
            logs.contains_key(&user).then_some(user)
        };
        for (user, job, event) in state.table.listed(list, asked, present) {
            let log = state.log(&user, &self.0.epoch);
            if event.is_last() {
                log.drop_preview(job);
            }
            log.push(Some(job), &event);
        }
        let follow: Vec<_> = state
            .table
            .to_follow(list)
            .into_iter()
            .take_while(|job| state.table.follow(*job, self.0.follow_max))
            .collect();
        // The lock is not held by what the tasks do: they run when this function has returned.
        follow.into_iter().for_each(|job| self.follow(job));
    }
}
