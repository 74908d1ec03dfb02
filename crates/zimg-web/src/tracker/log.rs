//! The log of a user's events: the last ones, numbered, so that a reader can go on where it was.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::event::JobEvent;
use crate::daemon::JobId;

/// Events that stay. A reader that is further behind begins again.
const EVENTS: usize = 1024;

/// How long a log stays without a reader: a page that is loaded again, or a phone that was asleep.
const ABSENCE: Duration = Duration::from_secs(300);

/// An event as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub number: u64,
    /// Whose it is; none of the daemon's status.
    pub job: Option<JobId>,
    /// Whether it ends its job's stream.
    pub is_last: bool,
    /// `id:`, `event:` and `data:` lines.
    pub frame: Bytes,
}

/// The events of a user.
#[derive(Debug)]
pub(super) struct Log {
    epoch: Arc<str>,
    /// In the order of their numbers; replaced previews leave gaps.
    entries: VecDeque<Entry>,
    /// The number of each job's preview.
    previews: HashMap<JobId, u64>,
    next: u64,
    /// The number of the next event, for those who wait for it.
    grown: watch::Sender<u64>,
    /// When it was read last.
    read: Instant,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// After what it has.
    From(u64),
    /// It has nothing that can be continued.
    Again,
}

impl Log {
    pub(super) fn new(epoch: Arc<str>) -> Self {
        Self {
            epoch,
            entries: VecDeque::new(),
            previews: HashMap::new(),
            next: 0,
            grown: watch::Sender::new(0),
            read: Instant::now(),
        }
    }

    /// Adds an event. A newer preview of a job takes the place of the one before.
    pub(super) fn push(&mut self, job: Option<JobId>, event: &JobEvent) {
        let number = self.next;
        self.next += 1;
        if let Some(job) = job.filter(|_| event.is_preview()) {
            self.drop_preview(job);
            self.previews.insert(job, number);
        }
        self.entries.push_back(Entry {
            number,
            job,
            is_last: event.is_last(),
            frame: event.frame(job, Some((&self.epoch, number))),
        });
        if self.entries.len() > EVENTS
            && let Some(Entry { number, job: Some(job), .. }) = self.entries.pop_front()
            && self.previews.get(&job) == Some(&number)
        {
            self.previews.remove(&job);
        }
        self.grown.send_replace(self.next);
    }

    /// The previews of a job that has ended are of no more use.
    pub(super) fn drop_preview(&mut self, job: JobId) {
        if let Some(number) = self.previews.remove(&job) {
            self.entries.remove(self.place(number));
        }
    }

    /// Where a reader begins that has seen the event with this id.
    pub(super) fn start(&self, last: Option<&str>) -> Start {
        let seen = last.and_then(|id| {
            let (epoch, number) = id.rsplit_once('-')?;
            let number: u64 = number.parse().ok()?;
            (*epoch == *self.epoch && number < self.next).then_some(number)
        });
        match seen {
            Some(number) if number + 1 >= self.oldest() => Start::From(number + 1),
            _ => Start::Again,
        }
    }

    /// The events from a number on; none if some of them have gone.
    pub(super) fn since(&self, number: u64) -> Option<impl Iterator<Item = &Entry>> {
        (number >= self.oldest() || number == self.next)
            .then(|| self.entries.range(self.place(number)..))
    }

    /// Where the first event is that has this number or a higher one.
    fn place(&self, number: u64) -> usize {
        self.entries.partition_point(|entry| entry.number < number)
    }

    /// All that are there.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Tells when there are more.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Whether a reader waits, or did a moment ago and may come back.
    pub(super) fn is_wanted(&mut self) -> bool {
        if self.is_read() {
            self.read = Instant::now();
        }
        self.read.elapsed() < ABSENCE
    }

    /// Whether a reader waits.
    pub(super) fn is_read(&self) -> bool {
        self.grown.receiver_count() > 0
    }

    /// Replaced previews leave gaps that are no loss: what counts is how far back the log goes.
    fn oldest(&self) -> u64 {
        if self.next <= EVENTS as u64 {
            return 0;
        }
        self.entries.front().map_or(self.next, |entry| entry.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        Log::new("e".into())
    }

    fn decoding(image: u32) -> JobEvent {
        JobEvent::Decoding { image: image.into() }
    }

    fn preview(step: u32) -> JobEvent {
        JobEvent::Preview { image: 1, step, width: 8, height: 8, webp: String::new() }
    }

    #[test]
    fn a_reader_goes_on_after_what_it_has() {
        let mut log = log();
        for image in 0..3 {
            log.push(Some(7), &decoding(image));
        }
        assert_eq!(log.start(Some("e-1")), Start::From(2));
        assert_eq!(log.start(Some("e-2")), Start::From(3));
        for other in [None, Some(""), Some("e-3"), Some("f-1"), Some("e-x"), Some("1")] {
            assert_eq!(log.start(other), Start::Again, "{other:?}");
        }
        let frames = |from| log.since(from).map(|entries| entries.count());
        assert_eq!((frames(0), frames(2), frames(3)), (Some(3), Some(1), Some(0)));
    }

    #[test]
    fn a_reader_that_is_too_far_behind_begins_again() {
        let mut log = log();
        for image in 0..EVENTS as u32 + 10 {
            log.push(Some(7), &decoding(image));
        }
        assert!(log.since(9).is_none() && log.since(10).is_some());
        assert_eq!(
            (log.start(Some("e-8")), log.start(Some("e-9"))),
            (Start::Again, Start::From(10))
        );
        assert_eq!(log.all().count(), EVENTS);
    }

    #[test]
    fn only_the_latest_preview_of_a_job_stays() {
        let mut log = log();
        log.push(Some(7), &decoding(1));
        for step in 0..5000 {
            log.push(Some(7), &preview(step));
            log.push(Some(8), &preview(step));
        }
        assert_eq!(log.all().count(), 3);
        log.drop_preview(7);
        assert_eq!(log.all().count(), 2);
        for image in 0..EVENTS as u32 {
            log.push(Some(9), &decoding(image));
        }
        assert!(log.previews.is_empty(), "it has gone with the others");
        log.drop_preview(8);
        assert_eq!(log.all().count(), EVENTS);
    }
}
