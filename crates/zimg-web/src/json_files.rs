//! JSON with files: base64 becomes part of its text as it is.
//!
//! serde_json copies each text and looks at each of its bytes for what must be escaped. For the
//! 4 MiB of an image that takes milliseconds of the event loop, in which nothing else is served.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use serde_json::Value;

use crate::access::random_text;
use crate::problem::{Problem, Reason};

/// Files as base64, and the texts that stand for them in a JSON value.
#[derive(Debug)]
pub(crate) struct JsonFiles {
    /// In no text that a client has sent.
    mark: String,
    files: Vec<Bytes>,
}

impl JsonFiles {
    /// Without a file.
    pub(crate) fn new() -> Result<Self, Problem> {
        let mark = random_text();
        let mark = mark.map_err(|error| Problem::new(Reason::Internal, error.to_string()))?;
        Ok(Self { mark, files: Vec::new() })
    }

    /// Takes a file's base64, and returns the text that stands for it.
    pub(crate) fn add(&mut self, base64: Bytes) -> String {
        self.files.push(base64);
        self.name(self.files.len() - 1)
    }

    fn name(&self, number: usize) -> String {
        format!("{}.{number}", self.mark)
    }

    /// The JSON in pieces. The files stand in it in the order in which they were added.
    pub(crate) fn pieces(self, json: &Value) -> Vec<Bytes> {
        let text = Bytes::from(json.to_string());
        let mut pieces = Vec::with_capacity(2 * self.files.len() + 1);
        let mut begin = 0;
        for (number, file) in self.files.iter().enumerate() {
            let name = self.name(number);
            let quoted = format!("\"{name}\"");
            let rest = &text[begin..];
            let at = rest.windows(quoted.len()).position(|window| window == quoted.as_bytes());
            let Some(at) = at.map(|at| begin + at + 1) else { continue };
            pieces.push(text.slice(begin..at));
            pieces.push(file.clone());
            begin = at + name.len();
        }
        pieces.push(text.slice(begin..));
        pieces
    }

    /// The answer that is this JSON.
    pub(crate) fn response(self, json: &Value) -> Response {
        let mut response = Response::new(Body::new(Pieces(self.pieces(json).into())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// A body in pieces whose length is known.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_stand_where_their_names_did() {
        let mut files = JsonFiles::new().unwrap();
        let names = ["QUJD", "", "REVG"].map(|base64| files.add(base64.into()));
        let json =
            json!({"prompt": "a \"fox\".0", "data": names.map(|name| json!({"file": name}))});
        let text = files.pieces(&json).concat();
        let read: Value = serde_json::from_slice(&text).unwrap();
        let data = json!([{"file": "QUJD"}, {"file": ""}, {"file": "REVG"}]);
        assert_eq!(read, json!({"prompt": "a \"fox\".0", "data": data}));
    }

    #[test]
    fn a_file_that_is_not_asked_for_is_left_out() {
        let mut files = JsonFiles::new().unwrap();
        let first = files.add("AA".into());
        files.add("BB".into());
        assert_eq!(files.pieces(&json!([first])).concat(), b"[\"AA\"]");
    }

    #[test]
    fn the_length_is_known_before_the_body_is_read() {
        let mut files = JsonFiles::new().unwrap();
        let name = files.add("AAAA".into());
        let body = Pieces(files.pieces(&json!([name])).into());
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(8));
    }
}
