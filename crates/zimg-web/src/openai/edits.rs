//! `POST /v1/images/edits`: images that start from one of the request, as a form or as JSON.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};
use zimg_client::params::{Parameter, ValueKind};
use zimg_image::{InputRequest, MaskChoice};

use super::generations::deliver;
use super::request::ImagesRequest;
use crate::App;
use crate::access::User;
use crate::daemon::{InputFiles, SentFile};
use crate::problem::Problem;
use crate::server::body::Whole;
use crate::server::multipart;
use crate::translate::{Context, Fields, RecentFailures, file_of};

/// Fields of OpenAI's that are text whatever they look like.
const TEXTS: [&str; 4] = ["prompt", "model", "user", "size"];

/// Reads the request and delivers its images as it asks.
pub(super) async fn edit(
    State(app): State<App>,
    user: User,
    Extension(failures): Extension<RecentFailures>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Result<Response, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (fields, files) = match kind.trim_start().to_ascii_lowercase() {
        form if form.starts_with("multipart/form-data") => of_form(kind, &body)?,
        _ => of_json(&body)?,
    };
    let mut request = ImagesRequest::of(fields, &Context::of(&app).await)?;
    failures.check(&user, &body)?;
    request.images = Some(app.daemon.decode(files, &mut request.draw.params).await?);
    let answered = deliver(&app, &user, request, &headers).await;
    answered.map_err(|problem| failures.note(&user, &body, problem))
}

/// The fields and files of a form, as OpenAI's libraries send it.
fn of_form(content_type: &str, body: &Bytes) -> Result<(Fields, InputFiles), Problem> {
    let (mut fields, mut initial, mut mask) = (Map::new(), Vec::new(), None);
    for part in multipart::parts(content_type, body)? {
        match &*part.name {
            "image" | "image[]" => initial.push(file(part)),
            "mask" => mask = Some(file(part)),
            name => {
                let text = String::from_utf8_lossy(&part.bytes).into_owned();
                fields.insert(name.to_owned(), typed(name, text));
            }
        }
    }
    Ok((Fields::from(fields), files(initial, mask)?))
}

fn file(part: multipart::Part) -> SentFile {
    SentFile { name: part.file_name, bytes: part.bytes }
}

/// The same as JSON, whose files are base64.
fn of_json(body: &[u8]) -> Result<(Fields, InputFiles), Problem> {
    let mut fields = Fields::of(body)?;
    let initial = match fields.take("image") {
        None => Vec::new(),
        Some(Value::Array(images)) => {
            images.iter().map(|image| file_of("image", image)).collect::<Result<_, _>>()?
        }
        Some(image) => vec![file_of("image", &image)?],
    };
    let mask = fields.take("mask").map(|mask| file_of("mask", &mask)).transpose()?;
    Ok((fields, files(initial, mask)?))
}

fn files(mut initial: Vec<SentFile>, mask: Option<SentFile>) -> Result<InputFiles, Problem> {
    let count = initial.len();
    let Some(initial) = initial.pop().filter(|_| count == 1) else {
        let message = match count {
            0 => "`image` is missing, expected a file".to_owned(),
            _ => format!("`image` is given {count} times: the model starts from one"),
        };
        return Err(Problem::invalid(message).param("image"));
    };
    // As OpenAI has it: what is transparent in the mask, or in the image itself, is to change.
    let choice = if mask.is_some() { MaskChoice::FileAlpha } else { MaskChoice::TransparentParts };
    let request = InputRequest { mask: choice, ..InputRequest::default() };
    Ok(InputFiles { initial, mask, request })
}

/// A form's field as JSON has it: forms have text alone.
fn typed(name: &str, text: String) -> Value {
    let is_text = TEXTS.contains(&name)
        || Parameter::named_or_alias(name).is_some_and(|(row, _)| row.kind() == ValueKind::Text);
    match serde_json::from_str(&text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) if !is_text => value,
        _ => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(parts: &[(&str, &str)]) -> Result<(Fields, InputFiles), Problem> {
        let part = |(name, text): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let body = parts.iter().map(part).collect::<String>() + "--b--\r\n";
        of_form("multipart/form-data; boundary=b", &body.into())
    }

    #[test]
    fn a_form_and_json_are_one_request() {
        let (fields, files) = form(&[
            ("prompt", "7"),
            ("n", "2"),
            ("stream", "true"),
            ("image[]", "A"),
            ("mask", "B"),
            ("size", "64x64"),
        ])
        .unwrap();
        let fields: Map<String, Value> = fields.into_iter().collect();
        let expected = json!({"prompt": "7", "n": 2, "stream": true, "size": "64x64"});
        assert_eq!(Value::Object(fields), expected);
        let mask = files.mask.map(|mask| mask.bytes);
        assert_eq!((&*files.initial.bytes, mask.as_deref()), (&b"A"[..], Some(&b"B"[..])));
        assert_eq!(files.request.mask, MaskChoice::FileAlpha);
        let (_, files) = of_json(br#"{"image": ["QQ=="], "prompt": "a"}"#).unwrap();
        assert_eq!(
            (&*files.initial.bytes, files.request.mask),
            (&b"A"[..], MaskChoice::TransparentParts)
        );
    }

    #[test]
    fn one_image_is_expected() {
        for parts in [&[("prompt", "a")][..], &[("image", "A"), ("image[]", "B")]] {
            assert_eq!(form(parts).unwrap_err().parameter(), Some("image"));
        }
        for json in [r#"{"image": "https://x/y.png"}"#, r#"{"image": 7}"#, r#"{"image": [7]}"#] {
            assert_eq!(of_json(json.as_bytes()).unwrap_err().parameter(), Some("image"), "{json}");
        }
    }
}
