//! Warnings outside of a job: about files and settings that are read before it.

use super::json::warning;
use crate::exit::Exit;
use crate::{format, json, stderr};

/// Prints a warning: a line on standard error, or an event with `--json`.
pub(crate) fn warn(is_json: bool, text: &str) -> Result<(), Exit> {
    if is_json {
        return json::print(&warning(text));
    }
    stderr::say(&format!("zimg: {}\n", format::sentence(text)));
    Ok(())
}
