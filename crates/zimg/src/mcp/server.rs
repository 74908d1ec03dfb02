//! The server: reads messages, answers them, and runs each tool's call in a thread.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};
use zimg_client::{Client, Failure};

use super::arguments::{self, JsonObject};
use super::calls::Calls;
use super::message::{INVALID_PARAMS, INVALID_REQUEST, Incoming, METHOD_NOT_FOUND, answer, error};
use super::result::ToolResult;
use super::tool_call::{ToolCall, send};
use super::{draw, status, tools};
use crate::version::{PROGRAM, VERSION};

/// The versions of the protocol that are spoken, the newest first: their messages for tools are one.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The longest message: an image and its mask as base64, as large as zimg-web takes them.
const LINE_MAX: u64 = 48 << 20;
/// The most calls at a time.
const CALLS_MAX: usize = 16;

/// A server for one client.
#[derive(Clone, Debug)]
pub(super) struct Server {
    socket: PathBuf,
    save: Option<PathBuf>,
    calls: Calls,
}

impl Server {
    /// A server that asks the daemon at `socket`, and saves images in the folder `save`.
    pub(super) fn new(socket: PathBuf, save: Option<PathBuf>) -> Self {
        Self { socket, save, calls: Calls::default() }
    }

    /// Answers messages until there are no more, then cancels what is under way.
    ///
    /// # Errors
    ///
    /// The messages cannot be read.
    pub(super) fn run(self, from: &mut impl BufRead) -> io::Result<()> {
        let server = Arc::new(self);
        loop {
            let mut line = Vec::new();
            let read = from.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
            match read {
                Ok(0) => break,
                // What follows cannot be told from a message.
                Ok(_) if !line.ends_with(b"\n") && line.len() as u64 == LINE_MAX => {
                    send(&error(
                        &Value::Null,
                        INVALID_REQUEST,
                        "the message is longer than 48 MiB",
                    ));
                    break;
                }
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => server.handle(Incoming::read(&line)),
                Err(error) => {
                    server.calls.stop_all();
                    return Err(error);
                }
            }
        }
        server.calls.stop_all();
        Ok(())
    }

    fn handle(self: &Arc<Self>, message: Incoming) {
        match message {
            Incoming::Request { id, method, params } => match &*method {
                "initialize" => send(&answer(&id, initialized(&params))),
                "ping" => send(&answer(&id, json!({}))),
                "tools/list" => send(&answer(&id, json!({"tools": tools::tools()}))),
                "tools/call" => self.call(id, params),
                _ => send(&error(&id, METHOD_NOT_FOUND, "there is no such method")),
            },
            Incoming::Notification { method, params } => {
                if method == "notifications/cancelled"
                    && let Some(id) = params.get("requestId")
                {
                    self.calls.stop(id);
                }
            }
            Incoming::Answer => {}
            Incoming::Invalid { id, code, message } => send(&error(&id, code, message)),
        }
    }

    /// Runs a tool in a thread of its own.
    fn call(self: &Arc<Self>, id: Value, params: Value) {
        if self.calls.len() >= CALLS_MAX {
            let message = format!("{CALLS_MAX} calls are under way: wait until one has ended");
            return send(&error(&id, INVALID_REQUEST, &message));
        }
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        if !["draw", "status", "cancel"].contains(&&*name) {
            let message = "there is no such tool, there are draw, status and cancel";
            return send(&error(&id, INVALID_PARAMS, message));
        }
        let arguments = match params.get("arguments") {
            None | Some(Value::Null) => JsonObject::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(_) => return send(&error(&id, INVALID_PARAMS, "`arguments` is no object")),
        };
        let progress_token = params["_meta"].get("progressToken").cloned();
        let call = ToolCall { call: self.calls.begin(&id), progress_token };
        let server = Arc::clone(self);
        let started = thread::Builder::new().spawn({
            let id = id.clone();
            move || {
                let result = server.tool(&name, &arguments, &call);
                let result = result.unwrap_or_else(ToolResult::from);
                // The protocol has no answer to a request that was cancelled.
                if server.calls.end(&id) {
                    send(&answer(&id, result.into_json()));
                }
            }
        });
        if started.is_err() {
            self.calls.end(&id);
            send(&error(&id, INVALID_REQUEST, "no thread can be started for the call"));
        }
    }

    fn tool(
        &self,
        name: &str,
        arguments: &JsonObject,
        call: &ToolCall,
    ) -> Result<ToolResult, Failure> {
        match name {
            "draw" => draw::call(&self.socket, self.save.as_deref(), arguments, call),
            "status" => status::call(&self.socket),
            _ => {
                let job = arguments::job(arguments)?;
                Client::connect(PROGRAM, &self.socket)?.cancel(job)?;
                Ok(ToolResult::text(&format!("job {job} is cancelled")))
            }
        }
    }
}

fn initialized(params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str().unwrap_or_default();
    // A client that does not speak the newest ends the connection itself.
    let version = VERSIONS.into_iter().find(|version| *version == asked).unwrap_or(VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": false}},
        "serverInfo": {"name": "zimg", "title": "zimg", "version": VERSION},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_asked_for_is_spoken_or_the_newest() {
        for (asked, spoken) in [
            ("2024-11-05", "2024-11-05"),
            ("2025-06-18", "2025-06-18"),
            ("2099-01-01", "2025-11-25"),
            ("", "2025-11-25"),
        ] {
            let result = initialized(&json!({"protocolVersion": asked}));
            assert_eq!(result["protocolVersion"], spoken, "{asked}");
        }
        assert_eq!(initialized(&Value::Null)["serverInfo"]["name"], "zimg");
    }
}
