//! What must be true of any bytes that a client or an administrator could send, for the fuzzers of
//! `tests/`.

use std::collections::HashSet;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::{Map, Value};

use zimg_client::params::LoraChoice;

use crate::a1111::lora_tags;
use crate::access::{Hosts, parse_keys, request_key};
use crate::ours::{images, params};
use crate::server::body::from_json;
use crate::server::multipart;

/// Tries a parser, which the first byte chooses, on the rest; whether it understood.
pub fn request(bytes: &[u8]) -> bool {
    let Some((parser, rest)) = bytes.split_first() else { return false };
    let text = String::from_utf8_lossy(rest);
    match parser % 7 {
        0 => parameters(rest),
        1 => Hosts::default().allow(&text),
        2 => text.parse::<images::ImageId>().is_ok_and(|id| {
            assert_eq!(id.to_string().parse(), Ok(id));
            true
        }),
        3 => parse_keys(&text).is_ok_and(|keys| !keys.is_empty()),
        4 => form(rest),
        5 => tags(&text),
        _ => {
            let mut headers = HeaderMap::new();
            if let Ok(value) = axum::http::HeaderValue::from_bytes(rest) {
                headers.insert(axum::http::header::AUTHORIZATION, value);
            }
            request_key(&headers).is_some()
        }
    }
}

/// The parts of a form, whose Content-Type is the first line, are of its body; a form that is written
/// with them has them again.
fn form(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let kind = String::from_utf8_lossy(&bytes[..end]);
    let body = Bytes::copy_from_slice(bytes.get(end + 1..).unwrap_or_default());
    let Ok(parts) = multipart::parts(&kind, &body) else { return false };
    assert!(
        parts.len() <= 64 && parts.iter().map(|part| part.bytes.len()).sum::<usize>() <= body.len()
    );
    let is_plain = |name: &str| !name.contains(['"', '\r', '\n']);
    let written_alike = parts
        .iter()
        .all(|part| is_plain(&part.name) && part.file_name.as_deref().is_none_or(is_plain));
    let edge = "between parts";
    if written_alike && !body.windows(edge.len()).any(|window| window == edge.as_bytes()) {
        let mut again = Vec::new();
        for multipart::Part { name, file_name, bytes } in &parts {
            let file = file_name.as_ref().map(|name| format!("; filename=\"{name}\""));
            let head = format!(
                "--{edge}\r\nContent-Disposition: form-data; name=\"{name}\"{}\r\n\r\n",
                file.unwrap_or_default()
            );
            again.extend([head.as_bytes(), bytes, b"\r\n"].concat());
        }
        again.extend(format!("--{edge}--").bytes());
        let kind = format!("multipart/form-data; boundary=\"{edge}\"");
        if !parts.is_empty() {
            assert_eq!(multipart::parts(&kind, &again.into()), Ok(parts.clone()));
        }
    }
    !parts.is_empty()
}

/// LoRAs in a prompt: what is left is of the prompt, and each tag is one LoRA of the name in it.
fn tags(prompt: &str) -> bool {
    match lora_tags::taken(prompt) {
        Ok((text, None)) => {
            assert_eq!(text, prompt);
            false
        }
        Ok((text, Some(loras))) => {
            assert!(text.len() < prompt.len());
            if let Some(list) = LoraChoice::list(&loras) {
                let names: HashSet<_> = list.iter().map(|lora| &lora.name).collect();
                assert!(names.iter().all(|name| prompt.contains(name.as_str())), "{loras}");
                assert!(list.len() <= prompt.matches("<lora:").count(), "{loras}");
            }
            true
        }
        Err(problem) => {
            assert!(problem.reason().status().is_client_error());
            false
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
