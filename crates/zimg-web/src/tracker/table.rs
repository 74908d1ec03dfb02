//! The table of tracked jobs: what changed between the daemon's lists, as events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use zimg_client::{JobId, JobInfo, JobState, Params, Started, Waiting};

use super::event::{JobEvent, from_one};
use crate::access::User;

/// Jobs by their number.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<JobId, Tracked>);

#[derive(Debug)]
struct Tracked {
    user: User,
    /// When the daemon had it at the latest.
    since: Instant,
    /// As it was listed last; none before it was.
    listed: Option<JobInfo>,
    params: Option<Params>,
    started: Option<Started>,
    /// A connection brings its events.
    followed: bool,
    /// Images whose events were sent.
    images: u32,
    ended: bool,
}

/// An event for the log of a user.
pub(super) type News = (User, JobId, JobEvent);

impl Tracked {
    fn new(user: User) -> Self {
        Self {
            user,
            since: Instant::now(),
            listed: None,
            params: None,
            started: None,
            followed: false,
            images: 0,
            ended: false,
        }
    }
}

impl Table {
    pub(super) fn submitted(&mut self, user: &User, job: JobId, params: Params) {
        let tracked = self.0.entry(job).or_insert_with(|| Tracked::new(user.clone()));
        tracked.params = Some(params);
    }

    pub(super) fn details(&self, job: JobId) -> Option<(Params, Option<Started>)> {
        let tracked = self.0.get(&job)?;
        Some((tracked.params.clone()?, tracked.started.clone()))
    }

    pub(super) fn note_details(
        &mut self,
        user: &User,
        job: JobId,
        params: &Params,
        started: Option<&Started>,
    ) {
        let tracked = self.0.entry(job).or_insert_with(|| Tracked::new(user.clone()));
        tracked.params = Some(params.clone());
        tracked.started = started.cloned().or(tracked.started.take());
    }

    /// Whether a job is to be followed from now on: it is unfinished, and a connection is free.
    pub(super) fn follow(&mut self, job: JobId, most: usize) -> bool {
        let followed = self.0.values().filter(|tracked| tracked.followed).count();
        match self.0.get_mut(&job) {
            Some(tracked) if !tracked.followed && !tracked.ended && followed < most => {
                tracked.followed = true;
                true
            }
            _ => false,
        }
    }

    /// The connection of a job has ended.
    pub(super) fn unfollow(&mut self, job: JobId) {
        if let Some(tracked) = self.0.get_mut(&job) {
            tracked.followed = false;
        }
    }

    /// Whether the job is still here, and whose it is.
    pub(super) fn user(&self, job: JobId) -> Option<User> {
        self.0.get(&job).map(|tracked| tracked.user.clone())
    }

    /// Notes how a job started; whether that is news.
    pub(super) fn started(&mut self, job: JobId, started: &Started) -> bool {
        let Some(tracked) = self.0.get_mut(&job) else { return false };
        tracked.started.replace(started.clone()).as_ref() != Some(started)
    }

    /// Notes an image; whether that is news.
    pub(super) fn image(&mut self, job: JobId, index: u32) -> bool {
        let Some(tracked) = self.0.get_mut(&job) else { return false };
        let news = index >= tracked.images;
        tracked.images = tracked.images.max(index + 1);
        news
    }

    /// Notes the end; whether that is news.
    pub(super) fn end(&mut self, job: JobId) -> bool {
        self.0.get_mut(&job).is_some_and(|tracked| !std::mem::replace(&mut tracked.ended, true))
    }

    /// Whether a job that is tracked has not ended.
    pub(super) fn has_unfinished(&self) -> bool {
        self.0.values().any(|tracked| !tracked.ended)
    }

    pub(super) fn is_unfinished(&self, job: JobId) -> bool {
        self.0.get(&job).is_some_and(|tracked| !tracked.ended)
    }

    /// Forgets the jobs of users who have no page open.
    pub(super) fn retain_users(&mut self, present: impl Fn(&User) -> bool) {
        self.0.retain(|_, tracked| tracked.followed || present(&tracked.user));
    }

    /// Compares with the daemon's list, which was asked for at `asked`. The jobs are in the order
    /// in which they get a worker.
    pub(super) fn listed(
        &mut self,
        list: &[JobInfo],
        asked: Instant,
        of: impl Fn(&JobInfo) -> Option<User>,
    ) -> Vec<News> {
        let mut news = Vec::new();
        let mut present = BTreeSet::new();
        for info in list.iter().filter(|info| info.detached) {
            present.insert(info.job);
            let Some(user) = self.user(info.job).or_else(|| of(info)) else { continue };
            let mut is_new = false;
            let tracked = self.0.entry(info.job).or_insert_with(|| {
                is_new = true;
                Tracked::new(user.clone())
            });
            let unfinished = is_unfinished(&info.state);
            if is_new && unfinished {
                let position = position(&info.state).unwrap_or(0);
                news.push((user.clone(), info.job, JobEvent::Accepted { position }));
            } else if is_new {
                // It was there before the page: the page asks for the list.
                (tracked.ended, tracked.images) = (true, info.generated);
            }
            if !tracked.followed && !tracked.ended {
                let changes = changes(tracked, info);
                tracked.images = tracked.images.max(info.generated);
                tracked.ended = !unfinished;
                news.extend(changes.into_iter().map(|event| (user.clone(), info.job, event)));
            }
            tracked.listed = Some(info.clone());
        }
        // A job that was submitted a moment ago is not in a list that is older.
        let gone: Vec<_> = self
            .0
            .iter()
            .filter(|(job, tracked)| tracked.since < asked && !present.contains(job))
            .map(|(job, tracked)| (tracked.user.clone(), *job))
            .collect();
        for (user, job) in gone {
            self.0.remove(&job);
            news.push((user, job, JobEvent::Removed {}));
        }
        news
    }

    /// The unfinished jobs of a list that are not followed, the first ones first.
    pub(super) fn to_follow(&self, list: &[JobInfo]) -> Vec<JobId> {
        let is_here =
            |info: &&JobInfo| self.0.get(&info.job).is_some_and(|t| !t.followed && !t.ended);
        list.iter().filter(is_here).map(|info| info.job).collect()
    }
}

fn is_unfinished(state: &JobState) -> bool {
    !matches!(state, JobState::Done | JobState::Failed(_))
}

fn position(state: &JobState) -> Option<u32> {
    match state {
        JobState::Waiting { position } => Some(*position),
        _ => None,
    }
}

/// What changed of a job since it was listed last.
fn changes(tracked: &Tracked, info: &JobInfo) -> Vec<JobEvent> {
    let mut events = Vec::new();
    let before = tracked.listed.as_ref().map(|info| &info.state);
    if before != Some(&info.state) {
        match &info.state {
            &JobState::Waiting { position } => {
                events.push(JobEvent::Waiting((&Waiting::Queue { position }).into()));
            }
            JobState::Blocked(failure) => {
                events.push(JobEvent::Waiting((&Waiting::Disk(failure.clone())).into()));
            }
            &JobState::Running { image, step, of } if step > 0 => {
                let image = from_one(image);
                events.push(JobEvent::Step { image, step, of, ms: None, eta_ms: None });
            }
            _ => {}
        }
    }
    let (width, height) = (info.width.unwrap_or(0), info.height.unwrap_or(0));
    events.extend((tracked.images..info.generated).map(|index| JobEvent::Image {
        image: from_one(index),
        id: format!("{}-{}", info.job, from_one(index)),
        seed: info.seed.wrapping_add(index.into()).to_string(),
        width,
        height,
    }));
    match &info.state {
        JobState::Done => events.push(JobEvent::Done { ms: None }),
        JobState::Failed(failure) => events.push(JobEvent::Failed(failure.into())),
        _ => {}
    }
    events
}

#[cfg(test)]
mod tests {
    use zimg_client::{Failure, Kind, Priority};

    use super::*;
    use crate::waiting::WaitingFields;

    fn info(job: JobId, state: JobState, generated: u32) -> JobInfo {
        JobInfo {
            job,
            uid: 7,
            on_behalf_of: Some("ann".to_owned()),
            state,
            priority: Priority::Interactive,
            detached: true,
            width: Some(64),
            height: Some(64),
            seed: 5,
            count: 2,
            generated,
            accepted_unix_s: 1,
            prompt: "a fox".to_owned(),
        }
    }

    fn owner(info: &JobInfo) -> Option<User> {
        info.on_behalf_of.as_deref().map(User::named)
    }

    fn seen(table: &mut Table, list: &[JobInfo]) -> Vec<JobEvent> {
        table.listed(list, Instant::now(), owner).into_iter().map(|(_, _, event)| event).collect()
    }

    fn image(image: u64) -> JobEvent {
        let seed = (4 + image).to_string();
        JobEvent::Image { image, id: format!("1-{image}"), seed, width: 64, height: 64 }
    }

    #[test]
    fn a_job_is_known_by_the_list_alone() {
        let mut table = Table::default();
        let waiting = info(1, JobState::Waiting { position: 2 }, 0);
        let queued = |position| JobEvent::Waiting(WaitingFields::Queued { position });
        let accepted = JobEvent::Accepted { position: 2 };
        assert_eq!(seen(&mut table, std::slice::from_ref(&waiting)), [accepted, queued(2)]);
        assert_eq!(seen(&mut table, &[waiting]), []);
        assert_eq!(seen(&mut table, &[info(1, JobState::Waiting { position: 1 }, 0)]), [queued(1)]);
        let running = info(1, JobState::Running { image: 0, step: 3, of: 8 }, 0);
        let step = JobEvent::Step { image: 1, step: 3, of: 8, ms: None, eta_ms: None };
        assert_eq!(seen(&mut table, &[running]), [step]);
        let next = info(1, JobState::Running { image: 1, step: 0, of: 8 }, 1);
        assert_eq!(seen(&mut table, &[next]), [image(1)]);
        let done = info(1, JobState::Done, 2);
        assert_eq!(
            seen(&mut table, std::slice::from_ref(&done)),
            [image(2), JobEvent::Done { ms: None }]
        );
        assert!(!table.has_unfinished());
        assert_eq!(seen(&mut table, &[done]), []);
        assert_eq!(seen(&mut table, &[]), [JobEvent::Removed {}]);
    }

    #[test]
    fn what_had_ended_before_is_no_news() {
        let mut table = Table::default();
        let failed = JobState::Failed(Failure::new(Kind::Internal, "no"));
        assert_eq!(seen(&mut table, &[info(1, JobState::Done, 2), info(2, failed, 0)]), []);
    }

    #[test]
    fn a_followed_job_is_left_to_its_connection() {
        let mut table = Table::default();
        let before = Instant::now();
        table.submitted(&User::named("ann"), 1, Params::new("a fox"));
        assert!(table.follow(1, 1) && !table.follow(1, 9));
        assert!(table.listed(&[], before, owner).is_empty(), "the list was older than the job");
        assert_eq!(seen(&mut table, &[info(1, JobState::Waiting { position: 1 }, 0)]), []);
        assert!(table.image(1, 0) && !table.image(1, 0));
        let failure = Failure::new(Kind::Internal, "the worker died");
        let failed = info(1, JobState::Failed(failure.clone()), 1);
        assert_eq!(seen(&mut table, std::slice::from_ref(&failed)), []);
        table.unfollow(1);
        assert_eq!(seen(&mut table, &[failed]), [JobEvent::Failed((&failure).into())]);
    }

    #[test]
    fn a_job_that_was_cancelled_before_a_list_had_it_is_removed() {
        let mut table = Table::default();
        table.submitted(&User::named("ann"), 1, Params::new("a fox"));
        assert_eq!(seen(&mut table, &[]), [JobEvent::Removed {}]);
        assert!(!table.has_unfinished());
    }

    #[test]
    fn the_first_unfinished_jobs_are_followed() {
        let mut table = Table::default();
        let list: Vec<_> =
            (1..=4).map(|job| info(job, JobState::Waiting { position: job as u32 }, 0)).collect();
        seen(&mut table, &list);
        let to_follow = table.to_follow(&list);
        assert_eq!(to_follow, [1, 2, 3, 4]);
        let followed: Vec<_> = to_follow.into_iter().filter(|job| table.follow(*job, 2)).collect();
        assert_eq!(followed, [1, 2]);
        assert!(table.end(1) && !table.end(1));
        table.unfollow(1);
        assert_eq!(table.to_follow(&list), [3, 4]);
        assert!(table.follow(3, 2));
    }

    #[test]
    fn jobs_of_others_and_attached_ones_are_not_tracked() {
        let mut table = Table::default();
        let other = JobInfo { on_behalf_of: None, ..info(1, JobState::Waiting { position: 0 }, 0) };
        let attached = JobInfo { detached: false, ..info(2, JobState::Waiting { position: 0 }, 0) };
        assert_eq!(seen(&mut table, &[other, attached]), []);
    }
}
