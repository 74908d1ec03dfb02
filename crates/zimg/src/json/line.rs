//! One line of `--json` output.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Exit;

/// The version of the output, and the event with its fields.
#[derive(Serialize)]
struct Line<'a, E> {
    v: u32,
    #[serde(flatten)]
    event: &'a E,
}

/// Prints an event as one line. It serializes as an object with the field "event".
///
/// # Errors
///
/// Standard output is closed or full.
pub(crate) fn print(event: &impl Serialize) -> Result<(), Exit> {
    let mut line = serde_json::to_string(&Line { v: 1, event })
        .map_err(|error| Exit::stdout(&error.into()))?;
    line.push('\n');
    io::stdout().lock().write_all(line.as_bytes()).map_err(|error| Exit::stdout(&error))
}
