//! The stream of a request: previews and images as server-sent events. A client that hangs up
//! cancels its job.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::Frame;
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Interval, MissedTickBehavior, interval};
use zimg_client::{Started, Update, Waiting};
use zimg_image::InputImages;

use super::answer::{Answers, EventNames};
use super::partial_images::PartialImages;
use super::request::ImagesRequest;
use crate::App;
use crate::access::User;
use crate::daemon::{self, Generate, JobContext, RunningJob};
use crate::json_files::JsonFiles;
use crate::problem::Problem;
use crate::translate::{now, unbegun};

/// Events that a slow client may leave unread; each has an image at most.
const EVENTS: usize = 2;
/// How often a client that waits is told that its connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Submits the job, and answers with its stream once it is accepted: a refusal has a status of its
/// own.
pub(super) async fn start(
    app: &App,
    user: &User,
    request: ImagesRequest,
    images: Option<InputImages>,
    partial_images: u8,
) -> Result<Response, Problem> {
    let params = request.draw.params.clone();
    let generate = Generate { previews: partial_images > 0, ..Generate::new(params) };
    let names = if images.is_some() { EventNames::EDIT } else { EventNames::GENERATION };
    let job = app.daemon.generate(user, generate, images).await?;
    let (events, received) = channel(EVENTS);
    let partial = PartialImages::new(partial_images.into());
    let writer = Writer { events, request, partial, started: None, created: now(), names };
    tokio::spawn(writer.run(job));
    let kind = HeaderValue::from_static("text/event-stream");
    Ok(([(CONTENT_TYPE, kind)], Body::new(EventBody(received))).into_response())
}

/// The body of the response.
struct EventBody(Receiver<Bytes>);

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// Writes the events of one job.
struct Writer {
    events: Sender<Bytes>,
    request: ImagesRequest,
    partial: PartialImages,
    started: Option<Started>,
    created: u64,
    names: EventNames,
}

impl Writer {
    async fn run(mut self, mut job: RunningJob) {
        let mut alive = keep_alive();
        loop {
            let written = tokio::select! {
                update = job.next() => match update {
                    None => return,
                    Some(Ok(update)) => match self.event(update).await {
                        Ok(Some(event)) => self.events.send(event).await.is_ok(),
                        Ok(None) => true,
                        Err(problem) => return self.fail(&problem).await,
                    },
                    Some(Err(problem)) => return self.fail(&problem).await,
                },
                _ = alive.tick() => self.events.send(comment("")).await.is_ok(),
                () = self.events.closed() => false,
            };
            // Dropping the job cancels it.
            if !written {
                return;
            }
        }
    }

    /// What an update is in the stream. Waiting is a comment, which no client library shows.
    async fn event(&mut self, update: Update) -> Result<Option<Bytes>, Problem> {
        match update {
            Update::Waiting(Waiting::Queue { position }) => {
                Ok(Some(comment(&format!("{position} jobs are before this one"))))
            }
            Update::Started(started) => {
                self.started = Some(started);
                Ok(None)
            }
            Update::Preview(preview) => {
                let (image, step) = (preview.image, preview.step);
                let steps = self.started()?.steps;
                let Some(index) = self.partial.due(image, step, steps) else { return Ok(None) };
                let file = daemon::encode_preview(&preview, self.request.format).await?;
                let file = STANDARD.encode(file);
                let event = self.answers()?.partial(self.names, &file, index, image);
                Ok(Some(framed(self.names.partial, &event)))
            }
            Update::Image(image) => {
                let (index, seed) = (image.info.index, image.info.seed);
                let started = self.started()?.clone();
                let context = JobContext { params: self.request.draw.params.clone(), started };
                let (format, encoding) = (self.request.format, self.request.encoding);
                let file = daemon::encode_base64(&context, image, format, encoding).await?;
                let mut files = JsonFiles::new()?;
                let event = self.answers()?.completed(self.names, &files.add(file), index, seed);
                let begin = format!("event: {}\ndata: ", self.names.completed);
                let data = files.pieces(&event).concat();
                Ok(Some([begin.as_bytes(), &data, b"\n\n"].concat().into()))
            }
            _ => Ok(None),
        }
    }

    fn started(&self) -> Result<&Started, Problem> {
        self.started.as_ref().ok_or_else(unbegun)
    }

    fn answers(&self) -> Result<Answers<'_>, Problem> {
        let (draw, format, created) = (&self.request.draw, self.request.format, self.created);
        Ok(Answers { draw, started: self.started()?, format, created })
    }

    /// The last event: an object `error`, on which OpenAI's client libraries raise.
    async fn fail(self, problem: &Problem) {
        // A client that has gone needs no reason.
        let _ = self.events.send(framed("error", &problem.openai())).await;
    }
}

fn keep_alive() -> Interval {
    let mut alive = interval(KEEP_ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    alive
}

fn framed(name: &str, event: &Value) -> Bytes {
    format!("event: {name}\ndata: {event}\n\n").into()
}

fn comment(text: &str) -> Bytes {
    format!(": {text}\n\n").into()
}
