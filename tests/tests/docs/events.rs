//! The table of log events is that of zimaged's sources: names, fields, levels, and meanings.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::markdown::{Page, top};
use crate::tables::{code, rows};

/// A call of a macro of `tracing`.
struct LogCall {
    place: String,
    level: String,
    /// The constant's name, if the first field is `event = …::NAME`.
    event: Option<String>,
    fields: Vec<String>,
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The arguments of a call, from behind its parenthesis on.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for letter in text.chars() {
        match letter {
            _ if escaped => {}
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => break,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        found.last_mut().unwrap().push(letter);
    }
    found.iter().map(|argument| argument.trim().to_owned()).collect()
}

fn calls() -> Vec<LogCall> {
    let mut found = Vec::new();
    for path in sources(&top().join("crates/zimaged/src")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("use tracing::"), "{}: write tracing::level!", path.display());
        for (at, before) in text.match_indices("tracing::") {
            let Some((level, rest)) = text[at + before.len()..].split_once("!(") else { continue };
            if !level.chars().all(|letter| letter.is_ascii_lowercase()) {
                continue;
            }
            let arguments = arguments(rest);
            let target = usize::from(arguments[0].starts_with("target:"));
            let mut fields = arguments[target..].iter().take_while(|field| !field.starts_with('"'));
            let event = fields.next().and_then(|field| field.strip_prefix("event = "));
            let fields = fields.map(|field| field.split(" = ").next().unwrap().to_owned());
            found.push(LogCall {
                place: format!("{}:{}", path.display(), text[..at].lines().count()),
                level: level.to_owned(),
                event: event.and_then(|path| Some(path.rsplit_once("::")?.1.to_owned())),
                fields: fields.collect(),
            });
        }
    }
    found
}

/// The constants of events.rs: name, value, and meaning, in their order.
fn constants() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(top().join("crates/zimaged/src/events.rs")).unwrap();
    let (mut found, mut meaning) = (Vec::new(), String::new());
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("///") {
            meaning.push_str(comment);
        } else if let Some((_, constant)) = line.split_once("const ") {
            let (name, value) = constant.split_once(": &str = ").unwrap();
            let value = value.trim_matches(['"', ';']).to_owned();
            found.push((name.to_owned(), value, std::mem::take(&mut meaning).trim().to_owned()));
        }
    }
    found
}

#[test]
fn every_line_of_the_log_names_its_event() {
    let calls = calls();
    assert!(calls.len() > 40, "only {} calls are found", calls.len());
    for call in &calls {
        assert!(call.event.is_some(), "{}: the first field is not `event`", call.place);
        let is_of = |what: &str| call.fields.iter().any(|field| field == what);
        let name = call.event.as_deref().unwrap();
        // Requests that are refused have no job yet.
        if name.starts_with("JOB_") && name != "JOB_REFUSED" {
            assert!(is_of("job"), "{}: {name} without a job", call.place);
        }
        if name.starts_with("WORKER_") || name.starts_with("WEIGHTS_") {
            assert!(is_of("worker"), "{}: {name} without a worker", call.place);
        }
    }
}

#[test]
fn the_table_of_events_is_that_of_the_sources() {
    let mut logged = BTreeMap::new();
    for call in calls() {
        let shape = (call.level, call.fields);
        let before = logged.insert(call.event.clone().unwrap_or_default(), shape.clone());
        assert!(before.is_none_or(|before| before == shape), "{}: {shape:?}", call.place);
    }
    let mut expected = Vec::new();
    for (name, value, meaning) in constants() {
        assert_eq!(value, name.to_lowercase());
        let (level, fields) = logged.remove(&name).unwrap_or_else(|| panic!("{name} is not used"));
        let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
        let meaning = meaning.trim_end_matches('.').to_owned();
        expected.push([value, fields.join(", "), level, meaning]);
    }
    assert!(logged.is_empty(), "not in events.rs: {logged:?}");
    let page = Page::read("docs/operations.md");
    let (_, table) = page.text.split_once("| event |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let found = rows(table).filter(|row| row[0].starts_with('`'));
    let found: Vec<_> =
        found.map(|row| [code(row[0]), row[1], row[2], row[3]].map(str::to_owned)).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            found[..3] == expected[..3] && found[3].eq_ignore_ascii_case(&expected[3]),
            "docs/operations.md has {found:?}, and the sources {expected:?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "rows of docs/operations.md and constants");
}
