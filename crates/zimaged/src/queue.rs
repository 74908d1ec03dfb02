//! Who draws next: first come first served within a user, round robin between users.
//!
//! Pure bookkeeping over job numbers. Running jobs count against the limits as waiting ones do,
//! so there is one number to keep in mind and no way round it.

use std::collections::VecDeque;

use zimg_protocol::messages::JobId;

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

/// Waiting jobs by user, and the one that runs.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    /// Users with waiting jobs, the next one to be served first; no entry is empty.
    users: VecDeque<(u32, VecDeque<JobId>)>,
    running: Option<(u32, JobId)>,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, users: VecDeque::new(), running: None }
    }

    /// Adds a job at the end of its user's line.
    pub(crate) fn push(&mut self, uid: u32, job: JobId) -> Result<(), Full> {
        let running = |of: Option<u32>| match self.running {
            Some((owner, _)) => usize::from(of.is_none_or(|uid| uid == owner)),
            None => 0,
        };
        if self.len() + running(None) >= self.limits.total {
            return Err(Full::Total(self.limits.total));
        }
        let own =
            self.users.iter().find(|(user, _)| *user == uid).map_or(0, |(_, jobs)| jobs.len());
        if own + running(Some(uid)) >= self.limits.per_user {
            return Err(Full::User(self.limits.per_user));
        }
        match self.users.iter_mut().find(|(user, _)| *user == uid) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.users.push_back((uid, VecDeque::from([job]))),
        }
        Ok(())
    }

    /// Makes the next job the running one; `None` when none waits or one runs.
    pub(crate) fn start_next(&mut self) -> Option<JobId> {
        if self.running.is_some() {
            return None;
        }
        let (uid, mut jobs) = self.users.pop_front()?;
        let job = jobs.pop_front()?;
        if !jobs.is_empty() {
            self.users.push_back((uid, jobs));
        }
        self.running = Some((uid, job));
        Some(job)
    }

    /// The running job has ended.
    pub(crate) fn finish(&mut self) {
        self.running = None;
    }

    /// The running job is the next one again, as if it had not been started.
    pub(crate) fn put_back(&mut self) {
        let Some((uid, job)) = self.running.take() else { return };
        let mut jobs = match self.users.iter().position(|(user, _)| *user == uid) {
            Some(place) => self.users.remove(place).map(|(_, jobs)| jobs).unwrap_or_default(),
            None => VecDeque::new(),
        };
        jobs.push_front(job);
        self.users.push_front((uid, jobs));
    }

    /// Takes a waiting job out; false when it does not wait here.
    pub(crate) fn remove(&mut self, job: JobId) -> bool {
        let Some((place, at)) = self.users.iter().enumerate().find_map(|(place, (_, jobs))| {
            jobs.iter().position(|waiting| *waiting == job).map(|at| (place, at))
        }) else {
            return false;
        };
        self.users[place].1.remove(at);
        if self.users[place].1.is_empty() {
            self.users.remove(place);
        }
        true
    }

    /// The running job.
    pub(crate) fn running(&self) -> Option<JobId> {
        self.running.map(|(_, job)| job)
    }

    /// How many jobs wait.
    pub(crate) fn len(&self) -> usize {
        self.users.iter().map(|(_, jobs)| jobs.len()).sum()
    }

    /// Every waiting job with the number of jobs before it, the running one included.
    pub(crate) fn positions(&self) -> Vec<(JobId, u32)> {
        let mut found = Vec::with_capacity(self.len());
        for (place, (_, jobs)) in self.users.iter().enumerate() {
            for (round, job) in jobs.iter().enumerate() {
                // Whole rounds before this one, and in this round the users before this one.
                let before: usize = self
                    .users
                    .iter()
                    .enumerate()
                    .map(|(other, (_, theirs))| {
                        theirs.len().min(round + usize::from(other < place))
                    })
                    .sum();
                let position = before + usize::from(self.running.is_some());
                found.push((*job, u32::try_from(position).unwrap_or(u32::MAX)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(Limits { total: 6, per_user: 4 })
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
            queue.push(7, job).unwrap();
        }
        assert_eq!(drain(&mut queue), [1, 2, 3, 4]);
    }

    #[test]
    fn users_take_turns_and_positions_say_so() {
        let mut queue = queue();
        for (uid, job) in [(7, 1), (7, 2), (7, 3), (8, 4), (9, 5), (8, 6)] {
            queue.push(uid, job).unwrap();
        }
        let mut positions = queue.positions();
        positions.sort_by_key(|(_, position)| *position);
        let told: Vec<_> = positions.iter().map(|(job, _)| *job).collect();
        assert_eq!(positions.iter().map(|(_, p)| *p).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(drain(&mut queue), told);
        assert_eq!(told, [1, 4, 5, 2, 6, 3]);
    }

    #[test]
    fn the_running_job_is_before_all_others() {
        let mut queue = queue();
        queue.push(7, 1).unwrap();
        queue.push(7, 2).unwrap();
        assert_eq!(queue.start_next(), Some(1));
        assert_eq!(queue.start_next(), None);
        assert_eq!(queue.running(), Some(1));
        assert_eq!(queue.positions(), [(2, 1)]);
    }

    #[test]
    fn limits_count_the_running_job() {
        let mut queue = queue();
        for job in 1..=4 {
            queue.push(7, job).unwrap();
        }
        assert_eq!(queue.push(7, 5), Err(Full::User(4)));
        queue.start_next();
        assert_eq!(queue.push(7, 5), Err(Full::User(4)));
        queue.push(8, 6).unwrap();
        queue.push(9, 7).unwrap();
        assert_eq!(queue.push(10, 8), Err(Full::Total(6)));
        queue.finish();
        queue.push(7, 9).unwrap();
    }

    #[test]
    fn a_job_that_is_put_back_is_the_next() {
        let mut queue = queue();
        for (uid, job) in [(7, 1), (7, 2), (8, 3)] {
            queue.push(uid, job).unwrap();
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
        queue.push(7, 1).unwrap();
        queue.push(8, 2).unwrap();
        assert!(queue.remove(1));
        assert!(!queue.remove(1));
        assert_eq!(queue.positions(), [(2, 0)]);
        assert_eq!(drain(&mut queue), [2]);
        assert_eq!(queue.len(), 0);
    }
}
