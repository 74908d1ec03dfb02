//! A tool's call, as its thread has it, and how messages are written.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::calls::Call;
use super::message::notification;

/// A tool's call, as its thread has it.
#[derive(Debug)]
pub(super) struct ToolCall {
    pub(super) call: Call,
    /// What the client wants progress reported under.
    pub(super) progress_token: Option<Value>,
}

impl ToolCall {
    /// Reports progress, if the client has asked for it.
    pub(super) fn progress(&self, done: f64, all: Option<f64>, sentence: &str) {
        let Some(token) = &self.progress_token else { return };
        let params =
            json!({"progressToken": token, "progress": done, "total": all, "message": sentence});
        send(&notification("notifications/progress", params));
    }
}

/// Writes a message. A client that reads no more has closed its end, and standard input ends too.
pub(super) fn send(message: &Value) {
    let mut line = message.to_string();
    line.push('\n');
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}
