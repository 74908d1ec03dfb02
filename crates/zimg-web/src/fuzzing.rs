//! What must be true of any bytes that a client or an administrator could send, for the fuzzers of
//! `tests/`.

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::access::{Hosts, parse_keys, request_key};
use crate::ours::{images, params};
use crate::server::body::from_json;

/// Tries a parser, which the first byte chooses, on the rest; whether it understood.
pub fn request(bytes: &[u8]) -> bool {
    let Some((parser, rest)) = bytes.split_first() else { return false };
    let text = String::from_utf8_lossy(rest);
    match parser % 5 {
        0 => parameters(rest),
        1 => Hosts::default().allow(&text),
        2 => text.parse::<images::ImageId>().is_ok_and(|id| {
            assert_eq!(id.to_string().parse(), Ok(id));
            true
        }),
        3 => parse_keys(&text).is_ok_and(|keys| !keys.is_empty()),
        _ => {
            let mut headers = HeaderMap::new();
            if let Ok(value) = axum::http::HeaderValue::from_bytes(rest) {
                headers.insert(axum::http::header::AUTHORIZATION, value);
            }
            request_key(&headers).is_some()
        }
    }
}

/// Parameters that are taken are shown as they were asked, and taken again.
fn parameters(bytes: &[u8]) -> bool {
    let Ok(object) = from_json::<Map<String, Value>>(bytes) else { return false };
    match params::from_json(&object) {
        Ok(asked) => {
            let shown = params::to_json(&asked);
            assert_eq!(params::from_json(&shown), Ok(asked));
            true
        }
        Err(problem) => {
            assert!(problem.reason().status().is_client_error());
            assert!(problem.message().len() < 4096, "{}", problem.message().len());
            false
        }
    }
}
