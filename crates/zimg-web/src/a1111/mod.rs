//! The API of AUTOMATIC1111's web UI, at `/sdapi/v1`: routes, and the translation of requests and
//! answers.
//!
//! Names and forms are those of its `modules/api/models.py` and `modules/api/api.py`.

mod answer;
mod img2img;
mod jobs;
mod lists;
pub(crate) mod lora_tags;
mod options;
mod png_info;
mod progress;
mod request;
mod timestamp;
mod txt2img;

use axum::extract::{RawQuery, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use self::jobs::Jobs;
use crate::App;
use crate::access::User;
use crate::daemon;
use crate::problem::{Problem, Reason};
use crate::server::body::Whole;
use crate::translate::{RecentFailures, served_model};

/// Its routes.
pub(crate) fn router() -> Router<App> {
    let mut router = Router::new()
        .route("/txt2img", post(txt2img::generate))
        .route("/img2img", post(txt2img::generate_from))
        .route("/progress", get(progress))
        .route("/interrupt", post(interrupt))
        .route("/skip", post(skip))
        .route("/options", get(options).post(set_options))
        .route("/sd-models", get(models))
        .route("/refresh-checkpoints", post(refresh))
        .route("/memory", get(memory))
        .route("/loras", get(loras))
        .route("/refresh-loras", post(refresh))
        .route("/png-info", post(png_info));
    for name in lists::CONSTANT {
        router = router.route(&format!("/{name}"), get(async move || Json(lists::constant(name))));
    }
    router.layer(Extension(Jobs::default())).layer(Extension(RecentFailures::default()))
}

/// The first job of the user that has not ended.
async fn progress(
    user: User,
    Extension(jobs): Extension<Jobs>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let without_image = query.unwrap_or_default().to_ascii_lowercase();
    let without_image = without_image.split('&').any(|pair| pair == "skip_current_image=true");
    let Some((mut job, preview)) = jobs.first(&user) else {
        return Ok(Json(progress::answer(None)));
    };
    if let Some(preview) = preview.filter(|_| !without_image) {
        job.preview = Some(txt2img::base64(
            &daemon::encode_preview(&preview, zimg_image::ImageFormat::Png).await?,
        ));
    }
    Ok(Json(progress::answer(Some(&job))))
}

/// Ends all jobs of the user that have not ended, and no other's.
async fn interrupt(user: User, Extension(jobs): Extension<Jobs>) -> Json<Value> {
    jobs.interrupt(&user);
    Json(json!({}))
}

/// Ends the present image: possible where it is a job's only one.
async fn skip(user: User, Extension(jobs): Extension<Jobs>) -> Result<Json<Value>, Problem> {
    match jobs.first(&user) {
        Some((job, _)) if job.count > 1 => {
            Err(Problem::new(Reason::NotImplemented, "one of several images cannot be skipped")
                .hint("POST /sdapi/v1/interrupt ends the job"))
        }
        _ => {
            jobs.interrupt(&user);
            Ok(Json(json!({})))
        }
    }
}

async fn options(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(options::answer(&served_model(&app).await?.name)))
}

async fn set_options(State(app): State<App>, Whole(body): Whole) -> Result<Json<Value>, Problem> {
    options::accept(&body, Some(&served_model(&app).await?.name))?;
    Ok(Json(Value::Null))
}

async fn models(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(lists::models(&served_model(&app).await?.name)))
}

async fn refresh() -> Json<Value> {
    Json(Value::Null)
}

async fn memory(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let overview = app.daemon.overview().await?;
    Ok(Json(lists::memory(overview.status.first_worker().memory)))
}

async fn loras(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(lists::loras(&app.daemon.loras().await?)))
}

async fn png_info(Whole(body): Whole) -> Result<Json<Value>, Problem> {
    png_info::answer(&body).map(Json)
}
