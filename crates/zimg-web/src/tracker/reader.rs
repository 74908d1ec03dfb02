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
use tokio::time::timeout;
use zimg_client::JobId;

use super::Tracker;
use super::event::JobEvent;
use super::log::{Entry, Start};
use crate::access::User;
use crate::problem::Problem;

/// A comment is sent after so long without an event: proxies drop silent connections.
const ALIVE: Duration = Duration::from_secs(15);
/// Frames that may wait for a reader.
const FRAMES: usize = 8;

/// A reader of a log.
struct Reader {
    tracker: Tracker,
    user: User,
    job: Option<JobId>,
    next: u64,
    grown: watch::Receiver<u64>,
    frames: mpsc::Sender<Bytes>,
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
        let status = state.status.clone();
        let log = state.log(&user, &self.0.epoch);
        let (grown, start) = (log.watch(), log.start(last));
        let end = log.next();
        let next = if let Start::From(number) = start { number } else { end };
        let mut first = Vec::new();
        if start == Start::Again {
            let of_log: Vec<_> = log.all().cloned().collect();
            let wanted = |entry: &Entry| match job {
                Some(_) => entry.job == job,
                None => entry.job.is_some_and(|job| state.table.is_unfinished(job)),
            };
            let entries: Vec<_> = of_log.into_iter().filter(wanted).collect();
            if job.is_none() {
                first.push(JobEvent::Reset {}.frame(None, None));
                first.extend(status.map(|value| JobEvent::Status(value).frame(None, None)));
            }
            let is_whole = entries.last().is_some_and(|entry| entry.is_last);
            if ended.is_empty() || is_whole {
                first.extend(entries.into_iter().map(|entry| entry.frame));
            } else {
                first.extend(ended.iter().map(|event| event.frame(job, None)));
            }
            if job.is_some() && !ended.is_empty() {
                // Nothing follows.
                state.leave(&user);
                let bytes = first.concat();
                return Ok(response(Body::from(bytes)));
            }
        }
        drop(state);
        let reader = Reader { tracker: self.clone(), user, job, next, grown, frames };
        self.0.news.notify_one();
        tokio::spawn(reader.run(first, is_valid));
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
        let (frames, is_last): (Vec<Bytes>, bool) = {
            let mut state = self.tracker.state();
            let log = state.log(&self.user, &self.tracker.0.epoch);
            let mut is_last = false;
            let frames = match log.since(self.next) {
                Some(entries) => entries
                    .filter(|entry| self.job.is_none() || entry.job == self.job)
                    .map(|entry| {
                        is_last |= self.job.is_some() && entry.is_last;
                        entry.frame.clone()
                    })
                    .collect(),
                None => vec![JobEvent::Reset {}.frame(None, None)],
            };
            self.next = log.next();
            (frames, is_last)
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
