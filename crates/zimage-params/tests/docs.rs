//! The parameters in docs/protocol.md and docs/zimg-json.schema.json, compared with the table.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use zimage_params::{DefaultRule, PARAMETERS, Parameter, ValueKind};

fn line(row: &Parameter) -> String {
    let kind = match row.kind() {
        ValueKind::Text => "text",
        ValueKind::Integer => "integer",
        ValueKind::Real => "real",
        ValueKind::Flag => "flag",
    };
    let default = match row.default {
        DefaultRule::Required => "required".to_owned(),
        DefaultRule::Model => "the model's".to_owned(),
        DefaultRule::Empty => "empty".to_owned(),
        constant => constant.value().unwrap().to_string(),
    };
    format!("| {} | {kind} | {} | {default} |", row.name, row.range.in_words())
}

#[test]
fn the_protocol_page_lists_every_parameter_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, table) =
        page.split_once("| name | value | valid | default |\n|---|---|---|---|\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let expected: Vec<_> = PARAMETERS.iter().map(line).collect();
    assert_eq!(table, expected.join("\n"), "the table has to be:\n{}\n", expected.join("\n"));
}

/// The `metadata` event of `zimg show --json`.
#[test]
fn the_json_schema_has_every_recorded_parameter() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/zimg-json.schema.json");
    let schema = std::fs::read_to_string(path).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let event = &schema["$defs"]["event_metadata"];
    for row in PARAMETERS.iter().filter(|row| row.metadata.is_recorded()) {
        let kind = match row.kind() {
            ValueKind::Text => "string",
            ValueKind::Integer => "integer",
            ValueKind::Real => "number",
            ValueKind::Flag => "boolean",
        };
        let described = event["properties"][row.name].to_string();
        assert!(described.contains(kind), "{}: {described}", row.name);
        if row.metadata.is_only_if_given() {
            continue;
        }
        let required = event["required"].as_array().unwrap();
        assert!(required.iter().any(|name| name == row.name), "{}", row.name);
    }
}
