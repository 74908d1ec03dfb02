//! `POST /v1/images/generations`: one answer with all images, links to them, or a stream.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use zimg_client::Update;
use zimg_image::InputImages;

use super::answer::{AnsweredImage, Answers, Content};
use super::event_stream;
use super::links::{Link, base};
use super::request::{Delivery, ImagesRequest};
use crate::App;
use crate::access::User;
use crate::daemon::{self, Generate, JobContext, JobId};
use crate::json_files::JsonFiles;
use crate::problem::Problem;
use crate::server::body::Whole;
use crate::translate::{Context, RecentFailures, now, unbegun};

/// Reads the request and delivers its images as it asks.
pub(super) async fn generate(
    State(app): State<App>,
    user: User,
    Extension(failures): Extension<RecentFailures>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Result<Response, Problem> {
    let request = ImagesRequest::read(&body, &Context::of(&app).await)?;
    failures.check(&user, &body)?;
    let answered = deliver(&app, &user, request, &headers).await;
    answered.map_err(|problem| failures.note(&user, &body, problem))
}

/// Generates a request's images, and delivers them as it asks.
pub(super) async fn deliver(
    app: &App,
    user: &User,
    mut request: ImagesRequest,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let images = request.images.take();
    match request.delivery {
        Delivery::Base64 => in_the_answer(app, user, &request, images).await,
        Delivery::Url => as_links(app, user, &request, images, &base(app, headers)).await,
        // A failure in a stream is no status: it is not tried again.
        Delivery::Stream { partial_images } => {
            event_stream::start(app, user, request, images, partial_images).await
        }
    }
}

/// An attached job, which ends with the connection: this future is dropped then.
async fn in_the_answer(
    app: &App,
    user: &User,
    request: &ImagesRequest,
    images: Option<InputImages>,
) -> Result<Response, Problem> {
    let generate = Generate::new(request.draw.params.clone());
    let mut job = app.daemon.generate(user, generate, images).await?;
    let mut begun = None;
    let (mut images, mut files) = (Vec::new(), JsonFiles::new()?);
    while let Some(update) = job.next().await {
        match update? {
            Update::Started(started) => begun = Some(started),
            Update::Image(image) => {
                let started = begun.clone().ok_or_else(unbegun)?;
                let seed = image.info.seed;
                let context = JobContext { params: request.draw.params.clone(), started };
                let (format, encoding) = (request.format, request.encoding);
                let file = daemon::encode_base64(&context, image, format, encoding).await?;
                let content = Content::Base64(files.add(file));
                images.push(AnsweredImage { seed, content });
            }
            _ => {}
        }
    }
    let started = begun.ok_or_else(unbegun)?;
    let (draw, format) = (&request.draw, request.format);
    let answers = Answers { draw, started: &started, format, created: now() };
    Ok(files.response(&answers.body(&images)))
}

/// A detached job: the daemon stores its images, and links to them are signed.
async fn as_links(
    app: &App,
    user: &User,
    request: &ImagesRequest,
    images: Option<InputImages>,
    base: &str,
) -> Result<Response, Problem> {
    let generate = Generate::new(request.draw.params.clone());
    let (id, _) = app.daemon.submit(user, generate, images).await?;
    let mut unfinished = Unfinished { app, user, job: Some(id) };
    let mut job = app.daemon.follow(id).await?;
    let mut begun = None;
    let mut images = Vec::new();
    while let Some(update) = job.next().await {
        match update? {
            Update::Started(started) => begun = Some(started),
            Update::Image(image) => {
                let link = Link {
                    user: user.clone(),
                    job: id,
                    index: image.info.index,
                    format: request.format,
                    encoding: request.encoding,
                };
                let content = Content::Url(format!("{base}{}", link.path(&app.access, now())));
                images.push(AnsweredImage { seed: image.info.seed, content });
            }
            _ => {}
        }
    }
    unfinished.job = None;
    let started = begun.ok_or_else(unbegun)?;
    let (draw, format) = (&request.draw, request.format);
    let answers = Answers { draw, started: &started, format, created: now() };
    Ok(Json(answers.body(&images)).into_response())
}

/// A detached job whose client may leave before its end: it is then cancelled.
struct Unfinished<'a> {
    app: &'a App,
    user: &'a User,
    job: Option<JobId>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let (daemon, user) = (self.app.daemon.clone(), self.user.clone());
            tokio::spawn(async move {
                if let Ok(info) = daemon.job(&user, job).await {
                    // A job that has failed meanwhile is gone already.
                    let _ = daemon.cancel(&info).await;
                }
            });
        }
    }
}
