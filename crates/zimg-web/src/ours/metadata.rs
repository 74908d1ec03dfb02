//! `POST metadata`: the settings in an image file of zimg or of another program, or in a text.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use zimg_client::Params;
use zimg_image::EmbeddedMetadata;

use super::params;
use crate::App;
use crate::access::User;
use crate::daemon::on_thread;
use crate::problem::{Problem, Reason};
use crate::server::body::Whole;

pub(super) async fn read(
    State(_): State<App>,
    _: User,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Result<axum::Json<Value>, Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_text = given.is_some_and(|given| given.starts_with("text/plain"));
    let found = on_thread(move || {
        if is_text {
            Some(EmbeddedMetadata::from_text(&String::from_utf8_lossy(&body)))
        } else {
            EmbeddedMetadata::from_bytes(&body)
        }
    })
    .await?;
    let found = found.ok_or_else(|| {
        Problem::new(Reason::Unprocessable, "the file is not a PNG, JPEG or WebP file")
    })?;
    settings(found).map(axum::Json)
}

fn settings(found: EmbeddedMetadata) -> Result<Value, Problem> {
    let EmbeddedMetadata { generation, parameters, writer, unread, doubt, lost, .. } = found;
    let Some(generation) = generation else {
        let problem = |message: String| Err(Problem::new(Reason::Unprocessable, message));
        return match (writer, unread) {
            (Some(writer), Some(unread)) => problem(format!(
                "the file has metadata of {writer}, which does not say how to generate the image \
                 again: {unread}"
            )),
            _ => problem(match lost {
                Some(lost) => format!("there is no generation metadata that can be read: {lost}"),
                None => "there is no generation metadata in it".to_owned(),
            }),
        };
    };
    let asked = Params { count: None, ..generation.params };
    Ok(json!({
        "program": writer.map(|writer| writer.to_string()),
        "made_by": generation.program,
        "model": generation.model,
        "params": params::to_json(&asked),
        "text": parameters,
        "doubt": doubt.map(|doubt| doubt.to_string()),
    }))
}
