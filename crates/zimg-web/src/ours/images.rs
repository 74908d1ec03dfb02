//! `images/{id}`: files and thumbnails of detached jobs' images, encoded when they are asked for.

use std::fmt;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use zimg_image::{Encoding, ImageFormat};

use crate::App;
use crate::access::User;
use crate::daemon::{self, JobId, StoredImage};
use crate::problem::{Problem, Reason};

/// The longer side of a thumbnail in pixels.
const THUMBNAIL: u32 = 512;

/// An image's id: its job and its number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageId {
    pub job: JobId,
    /// From 0.
    pub index: u32,
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.job, u64::from(self.index) + 1)
    }
}

impl FromStr for ImageId {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let parsed = || {
            let (job, number) = text.split_once('-')?;
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
            if !plain(job) || !plain(number) {
                return None;
            }
            let index = number.parse::<u32>().ok()?.checked_sub(1)?;
            Some(Self { job: job.parse().ok()?, index })
        };
        parsed().ok_or_else(|| Problem::not_found("there is no image with this id"))
    }
}

/// How an image is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Form {
    format: Option<String>,
    quality: Option<u8>,
    size: Option<String>,
    download: Option<u8>,
    metadata: Option<u8>,
}

impl Form {
    fn format(&self) -> Result<ImageFormat, Problem> {
        match self.format.as_deref() {
            None | Some("png") => Ok(ImageFormat::Png),
            Some("webp") => Ok(ImageFormat::WebP),
            Some("jpeg" | "jpg") => Ok(ImageFormat::Jpeg),
            Some(_) => {
                Err(Problem::invalid("`format` is unknown, expected png, webp or jpeg")
                    .param("format"))
            }
        }
    }

    fn is_thumbnail(&self) -> Result<bool, Problem> {
        match self.size.as_deref() {
            None => Ok(false),
            Some("thumb") => Ok(true),
            Some(_) => Err(Problem::invalid("`size` is unknown, expected thumb").param("size")),
        }
    }
}

pub(super) async fn get(
    State(app): State<App>,
    user: User,
    Path(id): Path<String>,
    form: Result<Query<Form>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: ImageId = id.parse()?;
    let Ok(Query(form)) = form else {
        return Err(Problem::invalid("the query of the address is malformed"));
    };
    let (format, thumbnail) = (form.format()?, form.is_thumbnail()?);
    if form.quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
        return Err(Problem::invalid("`quality` is expected from 1 to 100").param("quality"));
    }
    // Whose it is, before a cached copy is confirmed.
    app.daemon.job(&user, id.job).await?;
    let tag = format!(
        "\"{id}-{thumbnail}-{}-{:?}-{:?}\"",
        format.extension(),
        form.quality,
        form.metadata
    );
    let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag)) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let StoredImage { context, image } = match app.tracker.recent_image(id.job, id.index) {
        Some(recent) => StoredImage::clone(&recent),
        None => app.daemon.image(&user, id.job, id.index).await?,
    };
    let (prompt, seed) = (context.params.prompt.clone(), image.info.seed);
    let (bytes, kind) = if thumbnail {
        (daemon::thumbnail(image, THUMBNAIL).await?, ImageFormat::WebP)
    } else {
        let encoding = Encoding { quality: form.quality };
        let metadata = form.metadata != Some(0);
        (daemon::encode(&context, image, format, encoding, metadata).await?, format)
    };
    let mut response = Response::new(Body::from(bytes));
    let to = response.headers_mut();
    to.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(kind)));
    to.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    to.insert(ETAG, header(&tag)?);
    if form.download == Some(1) {
        let name = file_name(&prompt, seed, kind);
        to.insert(CONTENT_DISPOSITION, header(&format!("attachment; {name}"))?);
    }
    Ok(response)
}

pub(super) async fn delete(
    State(app): State<App>,
    user: User,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: ImageId = id.parse()?;
    let job = app.daemon.job(&user, id.job).await?;
    if id.index >= job.generated {
        return Err(Problem::not_found("there is no image with this id"));
    }
    if job.count > 1 {
        let message = format!("job {} has {} images, which are stored as one", id.job, job.count);
        return Err(Problem::new(Reason::Conflict, message).hint("delete the job"));
    }
    app.daemon.forget(&job).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn header(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|error| Problem::new(Reason::Internal, error.to_string()))
}

/// The `Content-Type` of a format.
pub(crate) fn content_type(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "image/png",
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::WebP => "image/webp",
        ImageFormat::Ppm => "image/x-portable-pixmap",
        ImageFormat::Raw => "application/octet-stream",
    }
}

/// The name of a downloaded file, in ASCII and as RFC 6266's `filename*`: prompt and seed.
fn file_name(prompt: &str, seed: u64, format: ImageFormat) -> String {
    let extension = format.extension();
    let words = |keep: fn(char) -> bool| {
        let mut name = String::new();
        for c in prompt.chars() {
            if keep(c) {
                name.extend(c.to_lowercase());
            } else if !name.ends_with('-') && !name.is_empty() {
                name.push('-');
            }
            if name.len() >= 60 {
                break;
            }
        }
        let name = name.trim_matches('-');
        let name = if name.is_empty() { "zimg" } else { name };
        format!("{name}-{seed}.{extension}")
    };
    let ascii = words(|c| c.is_ascii_alphanumeric());
    let full = words(char::is_alphanumeric);
    if ascii == full {
        return format!("filename=\"{ascii}\"");
    }
    let encoded: String = full.bytes().fold(String::new(), |text, byte| match byte {
        b'-' | b'.' => text + &char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => text + &char::from(byte).to_string(),
        byte => text + &format!("%{byte:02X}"),
    });
    format!("filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits_and_count_from_one() {
        assert_eq!("17-2".parse(), Ok(ImageId { job: 17, index: 1 }));
        assert_eq!("17-2".parse::<ImageId>().map(|id| id.to_string()).as_deref(), Ok("17-2"));
        for text in
            ["", "17", "17-0", "-1", "17-", "+1-1", "17-1-1", "17-4294967296", "../1-1", "１-1"]
        {
            assert!(text.parse::<ImageId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_downloads_name_is_harmless_in_a_header_and_on_a_disk() {
        let of = |prompt: &str| file_name(prompt, 7, ImageFormat::Png);
        assert_eq!(of("A red fox, in the snow"), "filename=\"a-red-fox-in-the-snow-7.png\"");
        assert_eq!(of("../../\"\r\nX: y"), "filename=\"x-y-7.png\"");
        assert_eq!(of("雪"), "filename=\"zimg-7.png\"; filename*=UTF-8''%E9%9B%AA-7.png");
        assert_eq!(of(""), "filename=\"zimg-7.png\"");
        assert!(of(&"word ".repeat(100)).len() < 90);
    }
}
