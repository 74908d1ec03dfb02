//! Answers of the daemon that requests share: one question serves all that wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zimg_client::{Client, Failure};

use super::questions::Lane;
use super::{Daemon, Shared};
use crate::problem::Problem;

/// The latest answer to a question, and the connection over which it is asked.
#[derive(Debug)]
pub(super) struct SharedAnswer<T> {
    lane: Lane,
    question: fn(&mut Client) -> Result<T, Failure>,
    last: Mutex<Option<(Instant, Arc<T>)>>,
    /// A newer one is asked for while the last one is given out.
    is_renewed: AtomicBool,
}

impl<T> SharedAnswer<T> {
    pub(super) fn new(question: fn(&mut Client) -> Result<T, Failure>) -> Self {
        let (last, is_renewed) = (Mutex::default(), AtomicBool::new(false));
        Self { lane: Lane::new(1), question, last, is_renewed }
    }

    /// The answer to a question that was asked at this time or later.
    pub(super) fn since(&self, oldest: Instant) -> Option<Arc<T>> {
        self.last().as_ref().filter(|(asked, _)| *asked >= oldest).map(|(_, answer)| answer.clone())
    }

    /// The answer to a question that was asked so long ago at most.
    pub(super) fn within(&self, age: Duration) -> Option<Arc<T>> {
        let last = self.last();
        last.as_ref().filter(|(asked, _)| asked.elapsed() < age).map(|(_, answer)| answer.clone())
    }

    /// Whether nothing renews the answer yet: the caller that is told so does it.
    fn begin_renewal(&self) -> bool {
        !self.is_renewed.swap(true, Ordering::Relaxed)
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, Arc<T>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Daemon {
    /// The answer to a question that is asked at `oldest` or later: another request's, or an own one.
    pub(super) async fn answer_since<T: Send + Sync + 'static>(
        &self,
        of: fn(&Shared) -> &SharedAnswer<T>,
        oldest: Instant,
    ) -> Result<Arc<T>, Problem> {
        let answer = of(&self.0);
        if let Some(known) = answer.since(oldest) {
            return Ok(known);
        }
        let turn = answer.lane.turn().await?;
        // Others may have asked meanwhile.
        if let Some(known) = answer.since(oldest) {
            return Ok(known);
        }
        let shared = Arc::clone(&self.0);
        let asked = self.ask_over(
            turn,
            move |shared| &of(shared).lane,
            move |client| {
                let answer = of(&shared);
                let asked = Instant::now();
                let value = Arc::new((answer.question)(client)?);
                // Before the turn ends: the next in line takes it.
                *answer.last() = Some((asked, Arc::clone(&value)));
                Ok(value)
            },
        );
        let asked = asked.await;
        if asked.is_err() {
            *answer.last() = None;
        }
        asked
    }

    /// The last answer, if it is not older than `oldest`; if it is not younger than `fresh`, a newer
    /// one is asked for meanwhile.
    pub(super) fn answer_at_hand<T: Send + Sync + 'static>(
        &self,
        of: fn(&Shared) -> &SharedAnswer<T>,
        fresh: Duration,
        oldest: Duration,
    ) -> Option<Arc<T>> {
        let answer = of(&self.0);
        if let Some(known) = answer.within(fresh) {
            return Some(known);
        }
        let known = answer.within(oldest)?;
        if answer.begin_renewal() {
            let daemon = self.clone();
            tokio::spawn(async move {
                // A problem leaves no answer: the next request meets it.
                let _ = daemon.answer_since(of, Instant::now()).await;
                of(&daemon.0).is_renewed.store(false, Ordering::Relaxed);
            });
        }
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_serves_those_who_came_before_it_was_asked() {
        let answer = SharedAnswer::<u32>::new(|_| Ok(7));
        let before = Instant::now();
        assert!(answer.since(before).is_none() && answer.within(Duration::MAX).is_none());
        let asked = Instant::now();
        *answer.last() = Some((asked, Arc::new(7)));
        assert_eq!(answer.since(before).as_deref(), Some(&7));
        assert_eq!(answer.since(asked).as_deref(), Some(&7));
        assert!(answer.since(asked + Duration::from_nanos(1)).is_none());
        assert_eq!(answer.within(Duration::MAX).as_deref(), Some(&7));
        assert!(answer.within(Duration::ZERO).is_none());
    }

    #[test]
    fn one_of_those_who_find_an_old_answer_renews_it() {
        let answer = SharedAnswer::<u32>::new(|_| Ok(7));
        assert!(answer.begin_renewal() && !answer.begin_renewal());
    }
}
