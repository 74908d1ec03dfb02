//! When jobs will have ended, from estimates of how long each takes.

use std::time::Duration;

use crate::workers::WorkerId;

/// From when on each worker is free, if it runs the jobs that were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forecast(Vec<(WorkerId, Duration)>);

impl Forecast {
    /// Workers that run nothing.
    pub(crate) fn new(workers: impl IntoIterator<Item = WorkerId>) -> Self {
        Self(workers.into_iter().map(|worker| (worker, Duration::ZERO)).collect())
    }

    /// Adds a job to the worker that runs it, else to the one that is free first: when it will
    /// have ended, if its time on that worker is known.
    pub(crate) fn add(
        &mut self,
        runs_on: Option<WorkerId>,
        time: impl FnOnce(WorkerId) -> Option<Duration>,
    ) -> Option<Duration> {
        let running = self.0.iter().position(|(worker, _)| Some(*worker) == runs_on);
        let first = || (0..self.0.len()).min_by_key(|at| self.0[*at].1);
        let at = running.or_else(first)?;
        let (worker, free) = &mut self.0[at];
        *free += time(*worker)?;
        Some(*free)
    }

    /// When the next worker is free.
    pub(crate) fn next_free(&self) -> Option<Duration> {
        self.0.iter().map(|(_, free)| *free).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_go_to_the_worker_that_is_free_first() {
        let [one, two] = [0, 1].map(WorkerId);
        let seconds = |seconds| move |_| Some(Duration::from_secs(seconds));
        let mut forecast = Forecast::new([one, two]);
        assert_eq!(forecast.next_free(), Some(Duration::ZERO));
        assert_eq!(forecast.add(Some(two), seconds(5)), Some(Duration::from_secs(5)));
        assert_eq!(forecast.add(None, seconds(2)), Some(Duration::from_secs(2)));
        assert_eq!(forecast.add(None, seconds(4)), Some(Duration::from_secs(6)));
        assert_eq!(forecast.next_free(), Some(Duration::from_secs(5)));
        assert_eq!(forecast.add(None, |_| None), None, "a job of unknown time");
        let mut none = Forecast::new([]);
        assert_eq!((none.add(None, seconds(1)), none.next_free()), (None, None));
    }
}
