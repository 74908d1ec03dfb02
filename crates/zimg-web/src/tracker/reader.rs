//! Readers: streams of server-sent events from the log of a user.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use zimg_client::JobId;

use super::event::JobEvent;
use super::log::{Entry, Start};
use super::{State, Tracker};
use crate::access::User;
use crate::problem::Problem;

/// A comment is sent after so long without an event: proxies drop silent connections.
const ALIVE: Duration = Duration::from_secs(15);
/// Frames that may wait for a reader.
const FRAMES: usize = 8;
/// Between two pieces that a reader is sent lies so much for each reader there is: what happens
/// meanwhile is sent as one. Many readers of the same events would else have the program write one
/// event to one of them at a time, and other requests wait behind that.
const PACE: Duration = Duration::from_micros(125);
/// A preview is at the browser 50 ms after its step at the latest.
const PACE_MAX: Duration = Duration::from_millis(25);

/// A reader of a log.
struct Reader {
    tracker: Tracker,
    user: User,
    job: Option<JobId>,
    next: u64,
    grown: watch::Receiver<u64>,
    frames: mpsc::Sender<Bytes>,
}

/// What a reader is sent.
#[derive(Debug, Default)]
struct News {
    frames: Vec<Bytes>,
    /// Whether nothing follows.
    is_last: bool,
}

impl News {
    /// The events of a job, or of all.
    fn of<'a>(entries: impl Iterator<Item = &'a Entry>, job: Option<JobId>) -> Self {
        let mut news = Self::default();
        for entry in entries.filter(|entry| job.is_none() || entry.job == job) {
            news.is_last |= job.is_some() && entry.is_last;
            news.frames.push(entry.frame.clone());
        }
        news
    }
}

impl State {
    /// How long a reader waits between two pieces.
    fn pace(&self) -> Duration {
        // A timer has milliseconds.
        let pace = PACE.saturating_mul(self.readers.values().sum::<usize>() as u32).min(PACE_MAX);
        if pace < Duration::from_millis(1) { Duration::ZERO } else { pace }
    }

    /// What a reader that has nothing begins with.
    fn beginning(&mut self, user: &User, epoch: &str, job: Option<JobId>) -> News {
        if job.is_some() {
            return News::of(self.log(user, epoch).all(), job);
        }
        let reset = JobEvent::Reset {}.frame(None, None);
        let status = self.status.clone().map(|status| JobEvent::Status(status).frame(None, None));
        let entries: Vec<Entry> = self.log(user, epoch).all().cloned().collect();
        let is_unfinished =
            |entry: &&Entry| entry.job.is_some_and(|job| self.table.is_unfinished(job));
        let entries = entries.iter().filter(is_unfinished).map(|entry| entry.frame.clone());
        News { frames: [reset].into_iter().chain(status).chain(entries).collect(), is_last: false }
    }

    /// What has come since an event. A reader that is so far behind that some of it has gone begins
    /// again; if the end of its job has gone, its stream ends, and the next one tells of it.
    fn news(&mut self, user: &User, epoch: &str, job: Option<JobId>, number: u64) -> News {
        if let Some(entries) = self.log(user, epoch).since(number) {
            return News::of(entries, job);
        }
        let mut news = self.beginning(user, epoch, job);
        if let Some(job) = job {
            news.frames.insert(0, JobEvent::Reset {}.frame(None, None));
            news.is_last |= !self.table.is_unfinished(job);
        }
        news
    }
}

impl Tracker {
    /// The events of a user, or of one job of the user. `last` is the id of the event that the
    /// client has; `ended` are the events of a job that has ended and is not in the log.
    /// `is_valid` says now and then whether the user may still read.
    pub(crate) fn stream(
        &self,
        user: User,
        job: Option<JobId>,
        last: Option<&str>,
        ended: Vec<JobEvent>,
        is_valid: impl Fn(&User) -> bool + Send + 'static,
    ) -> Result<Response, Problem> {
        let (frames, receiver) = mpsc::channel(FRAMES);
        let mut state = self.state();
        state.enter(&user)?;
        let log = state.log(&user, &self.0.epoch);
        let (grown, next, start) = (log.watch(), log.next(), log.start(last));
        let mut first = match start {
            Start::From(number) => state.news(&user, &self.0.epoch, job, number),
            Start::Again => state.beginning(&user, &self.0.epoch, job),
        };
        // The list of jobs may be ahead of the log, or the log may have forgotten the job.
        if !ended.is_empty() && !first.is_last {
            if start == Start::Again {
                first.frames = ended.iter().map(|event| event.frame(job, None)).collect();
            }
            first.is_last =
                start == Start::Again || !job.is_some_and(|job| state.table.is_unfinished(job));
        }
        if first.is_last {
            state.leave(&user);
            return Ok(response(Body::from(first.frames.concat())));
        }
        drop(state);
        let reader = Reader { tracker: self.clone(), user, job, next, grown, frames };
        self.0.news.notify_one();
        tokio::spawn(reader.run(first.frames, is_valid));
        Ok(response(Body::new(Frames(receiver))))
    }
}

impl Reader {
    async fn run(mut self, first: Vec<Bytes>, is_valid: impl Fn(&User) -> bool) {
        for frame in first {
            if self.frames.send(frame).await.is_err() {
                return;
            }
        }
        while self.send_news().await {
            let pace = self.tracker.state().pace();
            if !pace.is_zero() {
                sleep(pace).await;
            }
            let grown = tokio::select! {
                grown = timeout(ALIVE, self.grown.changed()) => grown,
                // The client has left.
                () = self.frames.closed() => return,
            };
            match grown {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) if !is_valid(&self.user) => return,
                Err(_) => {
                    if self.frames.send(Bytes::from_static(b":\n\n")).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends what has come since; false if the stream has ended.
    async fn send_news(&mut self) -> bool {
        let News { frames, is_last } = {
            let mut state = self.tracker.state();
            let epoch = &self.tracker.0.epoch;
            let news = state.news(&self.user, epoch, self.job, self.next);
            self.next = state.log(&self.user, epoch).next();
            news
        };
        // In one piece: each piece is a system call.
        let piece = match &frames[..] {
            [] => return !is_last,
            [frame] => frame.clone(),
            several => several.concat().into(),
        };
        if self.frames.send(piece).await.is_err() {
            return false;
        }
        !is_last
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tracker.state().leave(&self.user);
    }
}

/// A body of frames as they come.
struct Frames(mpsc::Receiver<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: &str = "e";

    fn state(user: &User, events: impl IntoIterator<Item = (JobId, JobEvent)>) -> State {
        let mut state = State::default();
        let log = state.log(user, EPOCH);
        events.into_iter().for_each(|(job, event)| log.push(Some(job), &event));
        state
    }

    fn names(news: &News) -> Vec<String> {
        let text = String::from_utf8(news.frames.concat()).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("event: "));
        names.map(str::to_owned).collect()
    }

    /// It ended after the daemon was asked for it and before its log was read.
    #[test]
    fn the_stream_of_a_job_that_has_just_ended_ends() {
        let user = User::named("eva");
        let events = [(7, JobEvent::Accepted { position: 0 }), (7, JobEvent::Done { ms: None })];
        let mut state = state(&user, events);
        let news = state.beginning(&user, EPOCH, Some(7));
        assert_eq!((names(&news), news.is_last), (vec!["accepted".into(), "done".into()], true));
        let news = state.beginning(&user, EPOCH, Some(8));
        assert!(news.frames.is_empty() && !news.is_last);
        assert!(!state.beginning(&user, EPOCH, None).is_last);
    }

    #[test]
    fn the_stream_of_a_job_whose_end_has_gone_ends() {
        let user = User::named("eva");
        let others = (0..2000).map(|_| (8, JobEvent::Decoding { image: 1 }));
        let events = [(7, JobEvent::Done { ms: None })].into_iter().chain(others);
        let mut state = state(&user, events);
        state.table.submitted(&user, 8, zimg_client::Params::new("a fox"));
        let news = state.news(&user, EPOCH, Some(7), 0);
        assert_eq!((names(&news), news.is_last), (vec!["reset".to_owned()], true));
        let news = state.news(&user, EPOCH, Some(8), 0);
        assert!(news.frames.len() > 1000 && !news.is_last, "its job goes on");
        assert_eq!(names(&news)[0], "reset");
        let news = state.news(&user, EPOCH, None, 0);
        assert!(names(&news)[0] == "reset" && !news.is_last);
    }
}
