//! The page's files: compiled in, or read from a directory during development.

use std::fs;
use std::path::{Component, Path, PathBuf};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::problem::{Problem, Reason};

/// A file of the page.
struct Asset {
    /// Where it is asked for.
    path: &'static str,
    /// Its `Content-Type`.
    kind: &'static str,
    /// The SHA-256 of its bytes, in quotes.
    tag: &'static str,
    bytes: &'static [u8],
}

// `build.rs` makes a row of each file below page/.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Any path that no route has: a file of the page.
pub(crate) async fn asset(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::new(Reason::Method, "only GET is possible here"));
    }
    let path = match request.uri().path() {
        "/" => "/index.html",
        path => path,
    };
    if let Some(directory) = &app.config.page_dir {
        return from_directory(directory, path).ok_or_else(missing);
    }
    let found = ASSETS.binary_search_by(|asset| asset.path.cmp(path));
    let asset = found.ok().and_then(|at| ASSETS.get(at)).ok_or_else(missing)?;
    let known = request.headers().get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let mut response = match known {
        Some(tags) if tags.split(',').any(|tag| tag.trim() == asset.tag) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        _ => Response::new(Body::from(asset.bytes)),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(ETAG, HeaderValue::from_static(asset.tag));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn missing() -> Problem {
    Problem::not_found("there is nothing at this path")
}

/// A file of the page as it is now. The path has names alone: nothing leads out of the directory
/// but links that its owner made.
fn from_directory(directory: &Path, path: &str) -> Option<Response> {
    let relative = PathBuf::from(path.strip_prefix('/')?);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let bytes = fs::read(directory.join(&relative)).ok()?;
    let kind = content_type(relative.extension()?.to_str()?)?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_the_page() {
        assert!(ASSETS.windows(2).all(|pair| pair[0].path < pair[1].path));
        assert!(ASSETS.iter().any(|asset| asset.path == "/index.html"));
    }

    #[test]
    fn only_files_of_the_directory_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page");
        fs::create_dir(&page).unwrap();
        fs::write(page.join("a.js"), "1").unwrap();
        fs::write(folder.path().join("secret.js"), "2").unwrap();
        assert!(from_directory(&page, "/a.js").is_some());
        for path in ["/../secret.js", "/./a.js/../../secret.js", "//a.js/..", "a.js", "/b.js", "/"]
        {
            assert!(from_directory(&page, path).is_none(), "{path}");
        }
    }
}
