//! Limits of requests: bytes of a body by path, and types of bodies that are not JSON.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::Limited;

use crate::problem::{Problem, Reason};

/// A request without images: a prompt and a negative prompt of 64 KiB each, escaped.
const BODY: usize = 1 << 20;
/// Images of 32 MiB, and a third more for base64.
const BODY_WITH_IMAGES: usize = 48 << 20;

/// Paths whose bodies have images.
const WITH_IMAGES: [&str; 6] = [
    "/zimg/v1/jobs",
    "/zimg/v1/metadata",
    "/v1/images/edits",
    "/v1/images/variations",
    "/sdapi/v1/img2img",
    "/sdapi/v1/png-info",
];

/// The longest body that a path takes.
pub(crate) fn body_max(path: &str) -> usize {
    if WITH_IMAGES.contains(&path) { BODY_WITH_IMAGES } else { BODY }
}

/// Whether a body may have another type than JSON.
pub(crate) fn takes_type(path: &str, given: &str) -> bool {
    match path {
        "/zimg/v1/metadata" => {
            given.starts_with("image/")
                || given == "text/plain"
                || given == "application/octet-stream"
        }
        "/v1/images/edits" | "/v1/images/variations" => given == "multipart/form-data",
        _ => false,
    }
}

/// Whether a path belongs to an API, which pages of other sites may not ask.
pub(crate) fn is_api(path: &str) -> bool {
    ["/zimg/", "/v1/", "/sdapi/"].iter().any(|prefix| path.starts_with(prefix))
}

/// The request with a bounded body; one that announces too much is refused before it is read.
pub(crate) fn limited(request: Request) -> Result<Request, Problem> {
    let most = body_max(request.uri().path());
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large(most));
    }
    Ok(request.map(|body| Body::new(Limited::new(body, most))))
}

pub(crate) fn too_large(most: usize) -> Problem {
    Problem::new(Reason::TooLarge, format!("the body is longer than {most} bytes"))
}
