//! `POST /sdapi/v1/txt2img` and `img2img`: generate images and answer with all of them.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zimg_client::Update;
use zimg_image::{Encoding, ImageFormat, InputImages};

use super::answer::answer;
use super::img2img;
use super::jobs::Jobs;
use super::request::WebUiRequest;
use super::timestamp::timestamp;
use crate::App;
use crate::access::User;
use crate::daemon::{self, Generate, JobContext};
use crate::json_files::JsonFiles;
use crate::problem::{Problem, Reason};
use crate::server::body::Whole;
use crate::translate::{Context, RecentFailures, now, unbegun};

/// Reads the request, and generates its images.
pub(super) async fn generate(
    State(app): State<App>,
    user: User,
    Extension(jobs): Extension<Jobs>,
    Extension(failures): Extension<RecentFailures>,
    Whole(body): Whole,
) -> Result<Response, Problem> {
    let request = WebUiRequest::read(&body, &Context::of(&app).await)?;
    failures.check(&user, &body)?;
    let answered = run(&app, &user, &jobs, request, None).await;
    answered.map_err(|problem| failures.note(&user, &body, problem))
}

/// The same from an image.
pub(super) async fn generate_from(
    State(app): State<App>,
    user: User,
    Extension(jobs): Extension<Jobs>,
    Extension(failures): Extension<RecentFailures>,
    Whole(body): Whole,
) -> Result<Response, Problem> {
    let (mut request, files) = img2img::read(&body, &Context::of(&app).await)?;
    failures.check(&user, &body)?;
    let images = app.daemon.decode(files, &mut request.draw.params).await?;
    let answered = run(&app, &user, &jobs, request, Some(images)).await;
    answered.map_err(|problem| failures.note(&user, &body, problem))
}

/// An attached job, which ends with the connection: this future is dropped then.
async fn run(
    app: &App,
    user: &User,
    jobs: &Jobs,
    WebUiRequest { draw, send_images }: WebUiRequest,
    images: Option<InputImages>,
) -> Result<Response, Problem> {
    let generate = Generate { previews: true, ..Generate::new(draw.params.clone()) };
    let begun = timestamp(now());
    let place = jobs.enter(user, draw.params.images(), begun.clone());
    let mut job = app.daemon.generate(user, generate, images).await?;
    let mut started = None;
    let (mut images, mut metadata) = (Vec::new(), Vec::new());
    let mut files = JsonFiles::new()?;
    loop {
        let update = tokio::select! {
            update = job.next() => update,
            () = place.interrupted() => {
                job.cancel();
                continue;
            }
        };
        match update {
            None => break,
            Some(Ok(update)) => {
                place.note(&update);
                match update {
                    Update::Started(new) => started = Some(new),
                    Update::Image(image) => {
                        let started = started.clone().ok_or_else(unbegun)?;
                        let context = JobContext { params: draw.params.clone(), started };
                        metadata.push(context.metadata(&image.info));
                        if send_images {
                            let png = (ImageFormat::Png, Encoding::default());
                            let file = daemon::encode_base64(&context, image, png.0, png.1);
                            images.push(files.add(file.await?));
                        }
                    }
                    _ => {}
                }
            }
            // An interrupted job has the images that were finished before, as in A1111.
            Some(Err(problem)) if problem.reason() == Reason::Cancelled && !metadata.is_empty() => {
                break;
            }
            Some(Err(problem)) => return Err(problem),
        }
    }
    let started = started.ok_or_else(unbegun)?;
    Ok(files.response(&answer(&draw, &started, &images, &metadata, &begun)))
}

/// A file as this API has it: without the beginning `data:`.
pub(super) fn base64(file: &[u8]) -> String {
    STANDARD.encode(file)
}
