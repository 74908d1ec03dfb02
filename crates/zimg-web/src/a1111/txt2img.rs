//! `POST /sdapi/v1/txt2img`: generates images and answers with all of them.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zimg_client::Update;
use zimg_image::{Encoding, ImageFormat};

use super::answer::answer;
use super::jobs::Jobs;
use super::request::Txt2ImgRequest;
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
    let request = Txt2ImgRequest::read(&body, &Context::of(&app).await)?;
    failures.check(&user, &body)?;
    let answered = run(&app, &user, &jobs, request).await;
    answered.map_err(|problem| failures.note(&user, &body, problem))
}

/// An attached job, which ends with the connection: this future is dropped then.
async fn run(
    app: &App,
    user: &User,
    jobs: &Jobs,
    Txt2ImgRequest { draw, send_images }: Txt2ImgRequest,
) -> Result<Response, Problem> {
    let generate = Generate { previews: true, ..Generate::new(draw.params.clone()) };
    let begun = timestamp(now());
    let place = jobs.enter(user, draw.params.images(), begun.clone());
    let mut job = app.daemon.generate(user, generate).await?;
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
