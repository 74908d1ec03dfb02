//! The tools: names, descriptions, schemas of their arguments.

use serde_json::{Value, json};

use super::arguments;

/// The tools, in the order of their list.
pub(super) fn tools() -> Value {
    json!([
        {
            "name": "draw",
            "title": "Generate images",
            "description": "Generate images from a prompt with the text-to-image model that zimaged \
                serves. The answer has the images, and their seeds: the same seed with the same \
                arguments gives the same image. With `image` they start from an image: `strength` \
                says how much of it is drawn again. Leave width, height, steps and guidance out unless \
                there is a reason: the model has its own.",
            "inputSchema": arguments::draw_schema(),
            "annotations": {"readOnlyHint": false, "destructiveHint": false, "openWorldHint": false},
        },
        {
            "name": "status",
            "title": "State of the image service",
            "description": "What the image service does: worker, model with its own size and steps, \
                waiting time, and the user's jobs.",
            "inputSchema": {"type": "object", "properties": {}, "additionalProperties": false},
            "annotations": {"readOnlyHint": true, "openWorldHint": false},
        },
        {
            "name": "cancel",
            "title": "Cancel a job",
            "description": "Stop one of the user's jobs, or delete the stored images of a detached \
                one.",
            "inputSchema": {
                "type": "object",
                "properties": {"job": {
                    "type": "integer", "minimum": 1,
                    "description": "The job's number, from `status`",
                }},
                "required": ["job"],
                "additionalProperties": false,
            },
            "annotations": {"readOnlyHint": false, "destructiveHint": true, "openWorldHint": false},
        },
    ])
}
