//! Who draws next: the urgent first, then in turns between users, first come first served within
//! one user.
//!
//! Pure bookkeeping over job numbers. Running jobs count against the limits as waiting ones do,
//! so there is one number to keep in mind and no way round it.

use std::collections::VecDeque;

use zimg_protocol::messages::{JobId, Priority};

/// How many jobs may be accepted and unfinished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of all users together.
    pub total: usize,
    /// Of one user.
    pub per_user: usize,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All places are taken; how many there are.
    Total(usize),
    /// This user's places are taken; how many one user has.
    User(usize),
}

/// Whose a job is, and how urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub job: JobId,
    pub uid: u32,
    pub priority: Priority,
}

/// Waiting jobs, and the one that runs.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    limits: Limits,
    interactive: Line,
    batch: Line,
    running: Option<Ticket>,
    /// Jobs that have a place and do not wait yet.
    coming: Vec<Ticket>,
}

/// Jobs of one priority: users, the next one to be served first; no entry is empty.
#[derive(Clone, Debug, Default)]
struct Line(VecDeque<(u32, VecDeque<JobId>)>);

impl Queue {
    /// An empty queue.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            interactive: Line::default(),
            batch: Line::default(),
            running: None,
            coming: Vec::new(),
        }
    }

    /// Adds a job at the end of its user's line, if there is a place.
    pub(crate) fn push(&mut self, ticket: Ticket) -> Result<(), Full> {
        self.reserve(ticket)?;
        self.admit(ticket.job);
        Ok(())
    }

    /// Adds a job that has been accepted before, whether there is a place or not.
    pub(crate) fn restore(&mut self, ticket: Ticket) {
        self.line(ticket.priority).push_back(ticket);
    }

    /// A job with a place is in its line from now on.
    pub(crate) fn admit(&mut self, job: JobId) {
        if let Some(at) = self.coming.iter().position(|ticket| ticket.job == job) {
            let ticket = self.coming.remove(at);
            self.restore(ticket);
        }
    }

    /// Gives a job a place, if there is one, but not in its line yet.
    pub(crate) fn reserve(&mut self, ticket: Ticket) -> Result<(), Full> {
        if self.unfinished() >= self.limits.total {
            return Err(Full::Total(self.limits.total));
        }
        let elsewhere = self.running.iter().chain(&self.coming);
        let elsewhere = elsewhere.filter(|other| other.uid == ticket.uid).count();
        let waiting = self.interactive.of(ticket.uid) + self.batch.of(ticket.uid);
        if waiting + elsewhere >= self.limits.per_user {
            return Err(Full::User(self.limits.per_user));
        }
        self.coming.push(ticket);
        Ok(())
    }

    /// Makes the next job the running one; `None` when none waits or one runs.
    pub(crate) fn start_next(&mut self) -> Option<JobId> {
        if self.running.is_some() {
            return None;
        }
        self.running = [Priority::Interactive, Priority::Batch].into_iter().find_map(|priority| {
            let (uid, job) = self.line(priority).pop()?;
            Some(Ticket { job, uid, priority })
        });
        self.running()
    }

    /// The running job has ended.
    pub(crate) fn finish(&mut self) {
        self.running = None;
    }

    /// The running job waits again, before all others of its priority.
    pub(crate) fn put_back(&mut self) {
        if let Some(ticket) = self.running.take() {
            self.line(ticket.priority).push_front(ticket);
        }
    }

    /// The running job, if a more urgent one waits.
    pub(crate) fn overtaken(&self) -> Option<JobId> {
        let running = self.running.filter(|running| running.priority == Priority::Batch)?;
        (self.interactive.len() > 0).then_some(running.job)
    }

    /// Takes a waiting job out; false when it does not wait here.
    pub(crate) fn remove(&mut self, job: JobId) -> bool {
        let coming = self.coming.len();
        self.coming.retain(|ticket| ticket.job != job);
        self.coming.len() < coming || self.interactive.remove(job) || self.batch.remove(job)
    }

    /// The running job.
    pub(crate) fn running(&self) -> Option<JobId> {
        self.running.map(|running| running.job)
    }

    /// How many jobs wait.
    pub(crate) fn len(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    /// How many jobs wait or run: what the limits are about.
    pub(crate) fn unfinished(&self) -> usize {
        self.len() + usize::from(self.running.is_some()) + self.coming.len()
    }

    /// Unfinished jobs in the order in which they end, if none comes.
    pub(crate) fn order(&self) -> Vec<JobId> {
        let mut rest = self.clone();
        let mut order = Vec::with_capacity(self.unfinished());
        if rest.overtaken().is_some() {
            rest.put_back();
        }
        order.extend(rest.running());
        rest.finish();
        while let Some(job) = rest.start_next() {
            order.push(job);
            rest.finish();
        }
        order
    }

    /// The same as if this job had come, up to it.
    pub(crate) fn before(&self, ticket: Ticket) -> Vec<JobId> {
        let mut with = self.clone();
        with.line(ticket.priority).push_back(ticket);
        with.order().into_iter().take_while(|job| *job != ticket.job).collect()
    }

    /// Every waiting job with the number of jobs before it, the running one included.
    pub(crate) fn positions(&self) -> Vec<(JobId, u32)> {
        let waits = |job: &JobId| Some(*job) != self.running();
        (0..).zip(self.order()).map(|(n, job)| (job, n)).filter(|(job, _)| waits(job)).collect()
    }

    fn line(&mut self, priority: Priority) -> &mut Line {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }
}

impl Line {
    fn len(&self) -> usize {
        self.0.iter().map(|(_, jobs)| jobs.len()).sum()
    }

    /// How many jobs of this user wait.
    fn of(&self, uid: u32) -> usize {
        self.0.iter().find(|(user, _)| *user == uid).map_or(0, |(_, jobs)| jobs.len())
    }

    fn push_back(&mut self, Ticket { job, uid, .. }: Ticket) {
        match self.0.iter_mut().find(|(user, _)| *user == uid) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.0.push_back((uid, VecDeque::from([job]))),
        }
    }

    /// The job is the next, and its user's turn is now.
    fn push_front(&mut self, Ticket { job, uid, .. }: Ticket) {
        let place = self.0.iter().position(|(user, _)| *user == uid);
        let (_, mut jobs) = place.and_then(|place| self.0.remove(place)).unwrap_or_default();
        jobs.push_front(job);
        self.0.push_front((uid, jobs));
    }

    /// Takes the next job out; the turn goes to the next user.
    fn pop(&mut self) -> Option<(u32, JobId)> {
        let (uid, mut jobs) = self.0.pop_front()?;
        let job = jobs.pop_front()?;
        if !jobs.is_empty() {
            self.0.push_back((uid, jobs));
        }
        Some((uid, job))
    }

    fn remove(&mut self, job: JobId) -> bool {
        let found = self.0.iter().enumerate().find_map(|(place, (_, jobs))| {
            jobs.iter().position(|waiting| *waiting == job).map(|at| (place, at))
        });
        let Some((place, at)) = found else { return false };
        self.0[place].1.remove(at);
        if self.0[place].1.is_empty() {
            self.0.remove(place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(Limits { total: 6, per_user: 4 })
    }

    fn ticket(uid: u32, job: JobId) -> Ticket {
        Ticket { job, uid, priority: Priority::Interactive }
    }

    fn batch(uid: u32, job: JobId) -> Ticket {
        Ticket { priority: Priority::Batch, ..ticket(uid, job) }
    }

    fn drain(queue: &mut Queue) -> Vec<JobId> {
        std::iter::from_fn(|| {
            queue.finish();
            queue.start_next()
        })
        .collect()
    }

    #[test]
    fn one_user_is_served_in_order() {
        let mut queue = queue();
        for job in 1..=4 {
            queue.push(ticket(7, job)).unwrap();
        }
        assert_eq!(drain(&mut queue), [1, 2, 3, 4]);
    }

    #[test]
    fn users_take_turns_and_positions_say_so() {
        let mut queue = queue();
        for (uid, job) in [(7, 1), (7, 2), (7, 3), (8, 4), (9, 5), (8, 6)] {
            queue.push(ticket(uid, job)).unwrap();
        }
        let expected = [(1, 0), (4, 1), (5, 2), (2, 3), (6, 4), (3, 5)];
        assert_eq!(queue.positions(), expected);
        assert_eq!(drain(&mut queue), expected.map(|(job, _)| job));
    }

    #[test]
    fn the_urgent_go_first_and_overtake() {
        let mut queue = queue();
        queue.push(batch(7, 1)).unwrap();
        queue.push(batch(8, 2)).unwrap();
        assert_eq!(queue.start_next(), Some(1));
        assert_eq!(queue.overtaken(), None, "the other is not more urgent");
        assert!(queue.before(ticket(9, 9)).is_empty());
        assert_eq!(queue.before(batch(9, 9)), [1, 2]);
        queue.push(ticket(8, 3)).unwrap();
        assert_eq!(queue.overtaken(), Some(1));
        assert_eq!(queue.positions(), [(3, 0), (2, 2)]);
        queue.put_back();
        assert_eq!(queue.positions(), [(3, 0), (1, 1), (2, 2)]);
        assert_eq!(queue.start_next(), Some(3));
        assert_eq!(queue.overtaken(), None, "what runs is urgent itself");
        assert_eq!(queue.before(ticket(9, 9)), [3]);
        assert_eq!(drain(&mut queue), [1, 2]);
    }

    #[test]
    fn the_running_job_is_before_all_others() {
        let mut queue = queue();
        queue.push(ticket(7, 1)).unwrap();
        queue.push(ticket(7, 2)).unwrap();
        assert_eq!(queue.start_next(), Some(1));
        assert_eq!(queue.start_next(), None);
        assert_eq!(queue.running(), Some(1));
        assert_eq!(queue.positions(), [(2, 1)]);
        assert_eq!(queue.order(), [1, 2]);
    }

    #[test]
    fn limits_count_the_running_job_and_both_priorities() {
        let mut queue = queue();
        for job in 1..=2 {
            queue.push(ticket(7, job)).unwrap();
            queue.push(batch(7, job + 2)).unwrap();
        }
        assert_eq!(queue.push(ticket(7, 5)), Err(Full::User(4)));
        queue.start_next();
        assert_eq!(queue.push(batch(7, 5)), Err(Full::User(4)));
        queue.push(ticket(8, 6)).unwrap();
        queue.push(ticket(9, 7)).unwrap();
        assert_eq!(queue.push(ticket(10, 8)), Err(Full::Total(6)));
        assert_eq!((queue.len(), queue.unfinished()), (5, 6));
        queue.finish();
        queue.push(ticket(7, 9)).unwrap();
    }

    #[test]
    fn a_job_that_is_put_back_is_the_next() {
        let mut queue = queue();
        for (uid, job) in [(7, 1), (7, 2), (8, 3)] {
            queue.push(ticket(uid, job)).unwrap();
        }
        queue.start_next();
        queue.put_back();
        assert_eq!(queue.running(), None);
        assert_eq!(drain(&mut queue), [1, 3, 2]);
        queue.put_back();
        assert_eq!(queue.len(), 0, "nothing runs");
    }

    #[test]
    fn a_removed_job_is_gone() {
        let mut queue = queue();
        queue.push(ticket(7, 1)).unwrap();
        queue.push(batch(8, 2)).unwrap();
        assert!(queue.remove(1));
        assert!(!queue.remove(1));
        assert_eq!(queue.positions(), [(2, 0)]);
        assert_eq!(drain(&mut queue), [2]);
        assert_eq!(queue.len(), 0);
    }
}
