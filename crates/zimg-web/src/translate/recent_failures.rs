//! Requests that the worker has died of a moment ago: they are answered without another try.
//!
//! OpenAI's client libraries obey `x-should-retry`. The AI SDK (6.0, `retryWithExponentialBackoff`),
//! LiteLLM and others repeat a request after every status from 500 on, within seconds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::access::{Digest, User};
use crate::problem::{Problem, Reason};

/// How long a request is remembered: longer than the two retries of these clients.
const REMEMBERED: Duration = Duration::from_secs(15);
/// How many are remembered.
const REQUESTS: usize = 64;

/// The requests of all users, the latest last.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentFailures(Arc<Mutex<VecDeque<Failed>>>);

#[derive(Debug)]
struct Failed {
    user: User,
    body: Digest,
    problem: Problem,
    at: Instant,
}

impl RecentFailures {
    /// Refuses a request whose body is one that the worker has died of.
    ///
    /// # Errors
    ///
    /// The problem of that time.
    pub(crate) fn check(&self, user: &User, body: &[u8]) -> Result<(), Problem> {
        let digest = Digest::of(body);
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|failed| failed.at.elapsed() < REMEMBERED);
        match failed.iter().find(|failed| failed.body.matches(&digest) && failed.user == *user) {
            None => Ok(()),
            Some(Failed { problem, .. }) => {
                let seconds = REMEMBERED.as_secs();
                let hint = format!("it is not tried again within {seconds} s: change the request");
                Err(problem.clone().hint(hint))
            }
        }
    }

    /// Remembers a request if this is what it has failed of.
    pub(crate) fn note(&self, user: &User, body: &[u8], problem: Problem) -> Problem {
        if problem.reason() == Reason::WorkerFailed {
            let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.len() == REQUESTS {
                failed.pop_front();
            }
            let (user, body, at) = (user.clone(), Digest::of(body), Instant::now());
            failed.push_back(Failed { user, body, problem: problem.clone(), at });
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_the_worker_died_of_is_not_tried_again_by_its_user() {
        let failures = RecentFailures::default();
        let (ann, bob) = (User::named("ann"), User::named("bob"));
        let died = || Problem::new(Reason::WorkerFailed, "the worker died");
        failures.note(&ann, b"a", died());
        failures.note(&ann, b"b", Problem::new(Reason::Busy, "full"));
        assert_eq!(failures.check(&ann, b"a").unwrap_err().message(), "the worker died");
        for (user, body) in [(&ann, b"b"), (&ann, b"c"), (&bob, b"a")] {
            assert_eq!(failures.check(user, body), Ok(()));
        }
        for number in 0..REQUESTS as u32 {
            failures.note(&bob, &number.to_le_bytes(), died());
        }
        assert_eq!(failures.check(&ann, b"a"), Ok(()));
        assert!(failures.check(&bob, &0_u32.to_le_bytes()).is_err());
    }
}
