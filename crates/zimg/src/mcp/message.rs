//! Messages of JSON-RPC 2.0: what comes in, and the three kinds that go out.

use serde_json::{Value, json};

/// A message of the client.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// A request, which has one answer.
    Request { id: Value, method: String, params: Value },
    /// A notification, which has none.
    Notification { method: String, params: Value },
    /// An answer: this server asks nothing.
    Answer,
    /// No message; the id is null where it could not be read.
    Invalid { id: Value, code: i32, message: &'static str },
}

/// The codes of JSON-RPC 2.0.
pub(super) const PARSE_ERROR: i32 = -32_700;
pub(super) const INVALID_REQUEST: i32 = -32_600;
pub(super) const METHOD_NOT_FOUND: i32 = -32_601;
pub(super) const INVALID_PARAMS: i32 = -32_602;

impl Incoming {
    /// Reads a line.
    pub(super) fn read(line: &[u8]) -> Self {
        let invalid = |code, message| Self::Invalid { id: Value::Null, code, message };
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            return invalid(PARSE_ERROR, "the line is no JSON");
        };
        let Value::Object(mut message) = message else {
            return invalid(INVALID_REQUEST, "the message is no JSON object");
        };
        let params = message.remove("params").unwrap_or_default();
        let id = message.remove("id").filter(|id| id.is_string() || id.is_number());
        let is_answer = message.contains_key("result") || message.contains_key("error");
        match (message.remove("method"), id) {
            (Some(Value::String(method)), Some(id)) => Self::Request { id, method, params },
            (Some(Value::String(method)), None) => Self::Notification { method, params },
            (None, _) if is_answer => Self::Answer,
            (_, id) => Self::Invalid {
                id: id.unwrap_or_default(),
                code: INVALID_REQUEST,
                message: "the message has no method",
            },
        }
    }
}

/// The answer to a request.
pub(super) fn answer(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// The refusal of a request.
pub(super) fn error(id: &Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// A notification.
pub(super) fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let read = |line: &str| Incoming::read(line.as_bytes());
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#),
            Incoming::Request { id: "a".into(), method: "ping".into(), params: Value::Null }
        );
        assert_eq!(
            read(r#"{"method":"x","params":{"y":1}}"#),
            Incoming::Notification { method: "x".into(), params: json!({"y": 1}) }
        );
        assert_eq!(read(r#"{"id":1,"result":{}}"#), Incoming::Answer);
        for (line, code) in [
            ("", PARSE_ERROR),
            ("{", PARSE_ERROR),
            ("[]", INVALID_REQUEST),
            ("7", INVALID_REQUEST),
            (r#"{"id":1}"#, INVALID_REQUEST),
            (r#"{"id":1,"method":7}"#, INVALID_REQUEST),
        ] {
            let Incoming::Invalid { code: found, .. } = read(line) else { panic!("{line}") };
            assert_eq!(found, code, "{line}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(read(&deep), Incoming::Invalid { code: PARSE_ERROR, .. }));
    }
}
