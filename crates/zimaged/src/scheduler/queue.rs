//! The job queue: two priority classes, preemption at step boundaries, round-robin between owners,
//! FIFO within one owner.
//!
//! Pure bookkeeping over job ids. Running jobs count against the limits as waiting ones do, so one
//! number limits what a user has in the daemon. The job table (`jobs`) moves jobs in and out.

use std::collections::{BTreeMap, VecDeque};

use zimg_protocol::messages::{JobId, Priority};

use crate::owner::Owner;
use crate::workers::WorkerId;

/// How many jobs may be accepted and unfinished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Of all users together.
    pub total: usize,
    /// Of one user.
    pub per_user: usize,
}

/// Why a job was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueFull {
    /// The limit of all users together is reached.
    Total(usize),
    /// This user's limit is reached.
    User(usize),
}

/// What the queue knows of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub job: JobId,
    pub owner: Owner,
    pub priority: Priority,
}

/// Waiting jobs, and the running job of each worker.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    limits: QueueLimits,
    interactive: Line,
    batch: Line,
    running: BTreeMap<WorkerId, Ticket>,
    /// Jobs that count against the limits and may not run yet.
    reserved: Vec<Ticket>,
}

/// Jobs of one priority, by user; the user at the front is served next, and none is without jobs.
#[derive(Clone, Debug, Default)]
struct Line(VecDeque<(Owner, VecDeque<JobId>)>);

impl Queue {
    /// An empty queue.
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            interactive: Line::default(),
            batch: Line::default(),
            running: BTreeMap::new(),
            reserved: Vec::new(),
        }
    }

    /// Whether one more job of this user is within the limits.
    pub(crate) fn admit(&self, owner: &Owner) -> Result<(), QueueFull> {
        if self.unfinished() >= self.limits.total {
            return Err(QueueFull::Total(self.limits.total));
        }
        let elsewhere = self.running.values().chain(&self.reserved);
        let elsewhere = elsewhere.filter(|other| other.owner == *owner).count();
        let waiting = self.interactive.of(owner) + self.batch.of(owner);
        if waiting + elsewhere >= self.limits.per_user {
            return Err(QueueFull::User(self.limits.per_user));
        }
        Ok(())
    }

    /// Counts a job that may not run yet.
    pub(crate) fn reserve(&mut self, ticket: Ticket) {
        self.reserved.push(ticket);
    }

    /// The job waits behind its user's others.
    pub(crate) fn push_back(&mut self, ticket: Ticket) {
        self.line(ticket.priority).push_back(ticket);
    }

    /// The job is the next of its priority.
    pub(crate) fn push_front(&mut self, ticket: Ticket) {
        self.line(ticket.priority).push_front(ticket);
    }

    /// Makes the next job that can begin the running one of this worker; `None` when none waits or it
    /// has one.
    pub(crate) fn next_for(
        &mut self,
        worker: WorkerId,
        can_begin: impl Fn(JobId) -> bool,
    ) -> Option<JobId> {
        if self.running.contains_key(&worker) {
            return None;
        }
        let ticket = self.pop(can_begin)?;
        let job = ticket.job;
        self.running.insert(worker, ticket);
        Some(job)
    }

    fn pop(&mut self, can_begin: impl Fn(JobId) -> bool) -> Option<Ticket> {
        [Priority::Interactive, Priority::Batch].into_iter().find_map(|priority| {
            let (owner, job) = self.line(priority).pop(&can_begin)?;
            Some(Ticket { job, owner, priority })
        })
    }

    /// Takes a job out, wherever it is; false when it is not here.
    pub(crate) fn remove(&mut self, job: JobId) -> bool {
        let before = self.reserved.len() + self.running.len();
        self.reserved.retain(|ticket| ticket.job != job);
        self.running.retain(|_, ticket| ticket.job != job);
        self.reserved.len() + self.running.len() < before
            || self.interactive.remove(job)
            || self.batch.remove(job)
    }

    /// Running batch jobs to preempt, so that each waiting interactive job that can begin has a
    /// worker.
    pub(crate) fn preemptible(&self, can_begin: impl Fn(JobId) -> bool) -> Vec<JobId> {
        let waiting = self.interactive.jobs().filter(|job| can_begin(*job)).count();
        let batch = self.running.values().filter(|running| running.priority == Priority::Batch);
        batch.map(|running| running.job).take(waiting).collect()
    }

    /// The job that this worker runs.
    pub(crate) fn running_on(&self, worker: WorkerId) -> Option<JobId> {
        self.running.get(&worker).map(|running| running.job)
    }

    /// Each worker's running job.
    pub(crate) fn running(&self) -> impl Iterator<Item = (WorkerId, JobId)> {
        self.running.iter().map(|(worker, running)| (*worker, running.job))
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    /// How many jobs count against the limits: reserved, waiting and running ones.
    pub(crate) fn unfinished(&self) -> usize {
        self.waiting() + self.running.len() + self.reserved.len()
    }

    /// Unfinished jobs in the order in which they get a worker, if no job is added. Jobs that are
    /// going to be preempted come after those that preempt them.
    pub(crate) fn order(&self) -> Vec<JobId> {
        let mut rest = self.clone();
        for job in self.preemptible(|_| true) {
            let preempted = self.running.values().find(|running| running.job == job).cloned();
            rest.remove(job);
            preempted.into_iter().for_each(|ticket| rest.push_front(ticket));
        }
        let mut order = Vec::with_capacity(self.unfinished());
        order.extend(rest.running.values().map(|running| running.job));
        order.extend(std::iter::from_fn(|| rest.pop(|_| true)).map(|ticket| ticket.job));
        order
    }

    /// The same if this job were added, up to it.
    pub(crate) fn before(&self, ticket: Ticket) -> Vec<JobId> {
        let (mut with, added) = (self.clone(), ticket.job);
        with.push_back(ticket);
        with.order().into_iter().take_while(|job| *job != added).collect()
    }

    /// Every waiting job with the number of jobs before it, running ones included.
    pub(crate) fn positions(&self) -> Vec<(JobId, u32)> {
        let waits = |job: &JobId| self.running.values().all(|running| running.job != *job);
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

    fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.0.iter().flat_map(|(_, jobs)| jobs).copied()
    }

    /// How many jobs of this user wait.
    fn of(&self, owner: &Owner) -> usize {
        self.0.iter().find(|(other, _)| other == owner).map_or(0, |(_, jobs)| jobs.len())
    }

    fn push_back(&mut self, Ticket { job, owner, .. }: Ticket) {
        match self.0.iter_mut().find(|(other, _)| *other == owner) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.0.push_back((owner, VecDeque::from([job]))),
        }
    }

    /// The job is the next, and so is its user.
    fn push_front(&mut self, Ticket { job, owner, .. }: Ticket) {
        let index = self.0.iter().position(|(other, _)| *other == owner);
        let own = index.and_then(|index| self.0.remove(index));
        let mut jobs = own.map(|(_, jobs)| jobs).unwrap_or_default();
        jobs.push_front(job);
        self.0.push_front((owner, jobs));
    }

    /// Takes the next job out that can begin; the next user is served after it. Users whose jobs
    /// cannot begin keep their turn.
    fn pop(&mut self, can_begin: impl Fn(JobId) -> bool) -> Option<(Owner, JobId)> {
        let (user, at) = self.0.iter().enumerate().find_map(|(user, (_, jobs))| {
            Some((user, jobs.iter().position(|job| can_begin(*job))?))
        })?;
        let (owner, mut jobs) = self.0.remove(user)?;
        let job = jobs.remove(at)?;
        if !jobs.is_empty() {
            self.0.push_back((owner.clone(), jobs));
        }
        Some((owner, job))
    }

    fn remove(&mut self, job: JobId) -> bool {
        let found = self.0.iter().enumerate().find_map(|(user, (_, jobs))| {
            jobs.iter().position(|waiting| *waiting == job).map(|at| (user, at))
        });
        let Some((user, at)) = found else { return false };
        self.0[user].1.remove(at);
        if self.0[user].1.is_empty() {
            self.0.remove(user);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: WorkerId = WorkerId(0);
    const SECOND: WorkerId = WorkerId(1);

    fn queue() -> Queue {
        Queue::new(QueueLimits { total: 6, per_user: 4 })
    }

    fn ticket(uid: u32, job: JobId) -> Ticket {
        Ticket { job, owner: uid.into(), priority: Priority::Interactive }
    }

    fn batch(uid: u32, job: JobId) -> Ticket {
        Ticket { priority: Priority::Batch, ..ticket(uid, job) }
    }

    fn push(queue: &mut Queue, ticket: Ticket) -> Result<(), QueueFull> {
        queue.admit(&ticket.owner)?;
        queue.push_back(ticket);
        Ok(())
    }

    /// The running job has ended.
    fn finish(queue: &mut Queue) {
        queue.running_on(FIRST).into_iter().for_each(|job| assert!(queue.remove(job)));
    }

    /// The running job waits again.
    fn put_back(queue: &mut Queue) {
        let running = queue.running.get(&FIRST).cloned();
        finish(queue);
        running.into_iter().for_each(|ticket| queue.push_front(ticket));
    }

    fn drain(queue: &mut Queue) -> Vec<JobId> {
        std::iter::from_fn(|| {
            finish(queue);
            queue.next_for(FIRST, |_| true)
        })
        .collect()
    }

    #[test]
    fn one_user_is_served_in_order() {
        let mut queue = queue();
        for job in 1..=4 {
            push(&mut queue, ticket(7, job)).unwrap();
        }
        assert_eq!(drain(&mut queue), [1, 2, 3, 4]);
    }

    #[test]
    fn users_take_turns_and_positions_say_so() {
        let mut queue = queue();
        for (uid, job) in [(7, 1), (7, 2), (7, 3), (8, 4), (9, 5), (8, 6)] {
            push(&mut queue, ticket(uid, job)).unwrap();
        }
        let expected = [(1, 0), (4, 1), (5, 2), (2, 3), (6, 4), (3, 5)];
        assert_eq!(queue.positions(), expected);
        assert_eq!(drain(&mut queue), expected.map(|(job, _)| job));
    }

    #[test]
    fn interactive_jobs_go_first_and_preempt() {
        let mut queue = queue();
        push(&mut queue, batch(7, 1)).unwrap();
        push(&mut queue, batch(8, 2)).unwrap();
        assert_eq!(queue.next_for(FIRST, |_| true), Some(1));
        assert!(queue.preemptible(|_| true).is_empty(), "the other is a batch job, too");
        assert!(queue.before(ticket(9, 9)).is_empty());
        assert_eq!(queue.before(batch(9, 9)), [1, 2]);
        push(&mut queue, ticket(8, 3)).unwrap();
        assert_eq!(queue.preemptible(|_| true), [1]);
        assert_eq!(queue.positions(), [(3, 0), (2, 2)]);
        put_back(&mut queue);
        assert_eq!(queue.positions(), [(3, 0), (1, 1), (2, 2)]);
        assert_eq!(queue.next_for(FIRST, |_| true), Some(3));
        assert!(queue.preemptible(|_| true).is_empty(), "an interactive job runs");
        assert_eq!(queue.before(ticket(9, 9)), [3]);
        assert_eq!(drain(&mut queue), [1, 2]);
    }

    #[test]
    fn the_running_job_is_before_all_others() {
        let mut queue = queue();
        push(&mut queue, ticket(7, 1)).unwrap();
        push(&mut queue, ticket(7, 2)).unwrap();
        assert_eq!(queue.next_for(FIRST, |_| true), Some(1));
        assert_eq!(queue.next_for(FIRST, |_| true), None);
        assert_eq!(queue.running_on(FIRST), Some(1));
        assert_eq!(queue.positions(), [(2, 1)]);
        assert_eq!(queue.order(), [1, 2]);
    }

    #[test]
    fn limits_count_the_running_job_and_both_priorities() {
        let mut queue = queue();
        for job in 1..=2 {
            push(&mut queue, ticket(7, job)).unwrap();
            push(&mut queue, batch(7, job + 2)).unwrap();
        }
        assert_eq!(push(&mut queue, ticket(7, 5)), Err(QueueFull::User(4)));
        queue.next_for(FIRST, |_| true);
        assert_eq!(push(&mut queue, batch(7, 5)), Err(QueueFull::User(4)));
        push(&mut queue, ticket(8, 6)).unwrap();
        push(&mut queue, ticket(9, 7)).unwrap();
        assert_eq!(push(&mut queue, ticket(10, 8)), Err(QueueFull::Total(6)));
        assert_eq!((queue.waiting(), queue.unfinished()), (5, 6));
        finish(&mut queue);
        push(&mut queue, ticket(7, 9)).unwrap();
    }

    #[test]
    fn a_job_that_is_put_back_is_the_next() {
        let mut queue = queue();
        for (uid, job) in [(7, 1), (7, 2), (8, 3)] {
            push(&mut queue, ticket(uid, job)).unwrap();
        }
        queue.next_for(FIRST, |_| true);
        put_back(&mut queue);
        assert_eq!(queue.running_on(FIRST), None);
        assert_eq!(drain(&mut queue), [1, 3, 2]);
        put_back(&mut queue);
        assert_eq!(queue.waiting(), 0, "nothing runs");
    }

    #[test]
    fn jobs_that_cannot_begin_are_passed_over_and_keep_their_turn() {
        let mut queue = queue();
        for (uid, job) in [(7, 1), (7, 2), (8, 3)] {
            push(&mut queue, ticket(uid, job)).unwrap();
        }
        push(&mut queue, batch(9, 4)).unwrap();
        assert_eq!(queue.next_for(FIRST, |job| job == 4), Some(4), "no other can begin");
        assert!(queue.preemptible(|_| false).is_empty(), "nor does it make room for them");
        assert_eq!(queue.preemptible(|job| job == 3), [4]);
        finish(&mut queue);
        assert_eq!(queue.next_for(FIRST, |job| job == 3), Some(3));
        finish(&mut queue);
        assert_eq!(queue.next_for(FIRST, |job| job == 2), Some(2), "its user's turn was not lost");
        finish(&mut queue);
        assert_eq!(queue.next_for(FIRST, |_| false), None);
        assert_eq!(drain(&mut queue), [1]);
    }

    #[test]
    fn a_removed_job_is_gone() {
        let mut queue = queue();
        push(&mut queue, ticket(7, 1)).unwrap();
        push(&mut queue, batch(8, 2)).unwrap();
        assert!(queue.remove(1));
        assert!(!queue.remove(1));
        assert_eq!(queue.positions(), [(2, 0)]);
        assert_eq!(drain(&mut queue), [2]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn each_worker_has_a_job_of_its_own_and_all_count() {
        let mut queue = queue();
        for job in [batch(7, 1), batch(7, 2), batch(8, 3)] {
            push(&mut queue, job).unwrap();
        }
        assert_eq!(queue.next_for(SECOND, |_| true), Some(1));
        assert_eq!(queue.next_for(FIRST, |_| true), Some(3));
        assert_eq!(queue.next_for(FIRST, |_| true), None);
        assert_eq!(queue.running().collect::<Vec<_>>(), [(FIRST, 3), (SECOND, 1)]);
        assert_eq!(queue.order(), [3, 1, 2]);
        assert_eq!((queue.waiting(), queue.unfinished()), (1, 3));
        // One interactive job takes one worker, two take both.
        push(&mut queue, ticket(9, 4)).unwrap();
        assert_eq!(queue.preemptible(|_| true), [3]);
        assert_eq!(queue.order(), [1, 4, 3, 2]);
        push(&mut queue, ticket(9, 5)).unwrap();
        assert_eq!(queue.preemptible(|_| true), [3, 1]);
        push(&mut queue, ticket(9, 6)).unwrap();
        assert_eq!(push(&mut queue, ticket(10, 7)), Err(QueueFull::Total(6)));
        assert!(queue.remove(1));
        assert_eq!(queue.next_for(SECOND, |_| true), Some(4));
    }
}
