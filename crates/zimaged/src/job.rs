//! One job as the supervisor sees it: whose it is, how far it is, what its log line says.

use std::time::Instant;

use zimg_protocol::Failure;
use zimg_protocol::limits::picture_bytes;
use zimg_protocol::messages::{Draw, JobId, Picture, Started, Timings, Waiting};

use crate::supervisor::ClientId;

/// A job that so many workers died of before they began it is given up.
const ATTEMPTS: u32 = 2;

/// An accepted, unfinished job.
#[derive(Debug)]
pub(crate) struct Job {
    id: JobId,
    /// The connection that gets its pictures.
    pub client: ClientId,
    /// Asked to end; asked once only.
    pub cancelled: bool,
    /// The reason for waiting that its client knows.
    pub told: Option<Waiting>,
    uid: u32,
    draw: Draw,
    accepted: Instant,
    begun: Option<Instant>,
    /// Width, height and steps, once known.
    shape: Option<(u32, u32, u32)>,
    /// Workers it was given to.
    attempts: u32,
    pictures: u32,
    /// Bytes of the present picture that have not come yet.
    missing: u64,
}

/// What the worker must not say, in words that go on from "the worker broke the protocol:".
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub &'static str);

impl Job {
    /// A job that was just accepted, with so many before it.
    pub(crate) fn new(id: JobId, client: ClientId, uid: u32, draw: Draw, position: u32) -> Self {
        Self {
            id,
            client,
            cancelled: false,
            told: Some(Waiting::Queue { position }),
            uid,
            draw,
            accepted: Instant::now(),
            begun: None,
            shape: None,
            attempts: 0,
            pictures: 0,
            missing: 0,
        }
    }

    /// The worker gets it: what to draw.
    pub(crate) fn begin(&mut self) -> Draw {
        self.begun = Some(Instant::now());
        self.attempts += 1;
        self.draw.clone()
    }

    /// Whether another worker may have it after one died: only if that one had not begun it, so
    /// that nothing is drawn twice, and not for ever.
    pub(crate) fn may_go_back(&self) -> bool {
        self.shape.is_none() && self.attempts < ATTEMPTS && !self.cancelled
    }

    /// The worker says what the defaults became.
    pub(crate) fn started(&mut self, started: &Started) {
        self.shape = Some((started.width, started.height, started.steps));
    }

    /// The worker announces a picture.
    pub(crate) fn picture(&mut self, picture: &Picture) -> Result<(), Wrong> {
        if self.missing > 0 {
            return Err(Wrong("a picture within a picture"));
        }
        if picture.index != self.pictures || picture.index >= self.draw.count {
            return Err(Wrong("a picture out of order"));
        }
        let bytes = picture_bytes(picture.width, picture.height);
        if bytes.is_none_or(|bytes| bytes as u64 != picture.bytes) {
            return Err(Wrong("a picture of an impossible size"));
        }
        self.missing = picture.bytes;
        self.pictures += 1;
        Ok(())
    }

    /// So many bytes of the announced picture have come.
    pub(crate) fn pixels(&mut self, bytes: usize) -> Result<(), Wrong> {
        match self.missing.checked_sub(bytes as u64) {
            Some(missing) if bytes > 0 => {
                self.missing = missing;
                Ok(())
            }
            _ => Err(Wrong("pixels that do not fit the picture")),
        }
    }

    /// The worker says that it is done: whether all pictures have come.
    pub(crate) fn complete(&self) -> Result<(), Wrong> {
        if self.missing > 0 || self.pictures != self.draw.count {
            return Err(Wrong("done before all pictures were sent"));
        }
        Ok(())
    }

    /// The worker's timings with what only the daemon knows.
    pub(crate) fn timings(&self, worker: Timings) -> Timings {
        Timings { queued: self.queued_ms(), total: milliseconds(self.accepted), ..worker }
    }

    /// The job's one line in the log; of the prompt only its length.
    pub(crate) fn log(&self, result: &Result<Timings, Failure>) {
        let (width, height, steps) = self.shape.unwrap_or((
            self.draw.width.unwrap_or_default(),
            self.draw.height.unwrap_or_default(),
            self.draw.steps.unwrap_or_default(),
        ));
        let result = match result {
            Ok(_) => "done".to_owned(),
            Err(failure) => format!("failed ({}): {failure}", failure.kind.exit_code()),
        };
        tracing::info!(
            job = self.id,
            uid = self.uid,
            size = format_args!("{width}x{height}"),
            steps,
            pictures = self.pictures,
            prompt_bytes = self.draw.prompt.len(),
            queued_ms = self.queued_ms().round(),
            ms = milliseconds(self.accepted).round(),
            "{result}"
        );
    }

    fn queued_ms(&self) -> f32 {
        let until = self.begun.unwrap_or_else(Instant::now);
        until.duration_since(self.accepted).as_secs_f32() * 1e3
    }
}

fn milliseconds(since: Instant) -> f32 {
    since.elapsed().as_secs_f32() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(count: u32) -> Job {
        Job::new(1, 1, 1000, Draw { count, ..Draw::new("a fox") }, 0)
    }

    fn picture(index: u32, bytes: u64) -> Picture {
        Picture { index, seed: 0, width: 64, height: 64, bytes }
    }

    const BYTES: usize = 3 * 64 * 64;

    #[test]
    fn pictures_come_in_order_and_whole() {
        let mut job = job(2);
        for index in 0..2 {
            assert_eq!(job.complete(), Err(Wrong("done before all pictures were sent")));
            job.picture(&picture(index, BYTES as u64)).unwrap();
            job.pixels(BYTES - 5).unwrap();
            assert_eq!(job.complete(), Err(Wrong("done before all pictures were sent")));
            job.pixels(5).unwrap();
        }
        job.complete().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_wrong() {
        let bytes = BYTES as u64;
        assert!(job(1).picture(&picture(0, bytes + 1)).is_err());
        assert!(job(1).picture(&picture(1, bytes)).is_err());
        assert!(job(1).pixels(1).is_err());
        assert!(job(1).pixels(0).is_err());
        let mut one = job(1);
        one.picture(&picture(0, bytes)).unwrap();
        assert!(one.picture(&picture(0, bytes)).is_err());
        assert!(one.pixels(BYTES + 1).is_err());
        one.pixels(BYTES).unwrap();
        assert!(one.picture(&picture(1, bytes)).is_err());
    }
}
