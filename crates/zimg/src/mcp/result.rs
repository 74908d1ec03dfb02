//! The result of a tool: content for the model, and the same facts for programs.

use serde_json::{Value, json};
use zimg_client::Failure;

/// A result.
#[derive(Debug, PartialEq)]
pub(super) struct ToolResult {
    content: Vec<Value>,
    structured: Option<Value>,
    is_error: bool,
}

impl ToolResult {
    /// A sentence.
    pub(super) fn text(text: &str) -> Self {
        Self { content: vec![text_block(text)], structured: None, is_error: false }
    }

    /// Facts, as text too.
    pub(super) fn said(said: Value) -> Self {
        let content = vec![text_block(&said.to_string())];
        Self { content, structured: Some(said), is_error: false }
    }

    /// The same with images, files as base64 with their media type, before the text.
    pub(super) fn with_images(mut self, images: Vec<(String, &str)>) -> Self {
        let blocks = images.into_iter().map(
            |(data, media_type)| json!({"type": "image", "data": data, "mimeType": media_type}),
        );
        self.content.splice(0..0, blocks);
        self
    }

    /// As the protocol has it.
    pub(super) fn into_json(self) -> Value {
        let Self { content, structured, is_error } = self;
        let mut result = json!({"content": content, "isError": is_error});
        if let Some(structured) = structured {
            result["structuredContent"] = structured;
        }
        result
    }
}

/// A failure is a result, not an error of the protocol: the model reads it and can act on it.
impl From<Failure> for ToolResult {
    fn from(failure: Failure) -> Self {
        Self { is_error: true, ..Self::text(&failure.with_hint()) }
    }
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}
