//! `zimg doctor`: finds what prevents images from being generated, and prints what to do.

use std::io::{self, Write};

use serde::Serialize;
use zimg_client::{Failure, Kind};

use crate::cli::CommonArgs;
use crate::doctor::{Finding, Level, examine};
use crate::exit::Exit;
use crate::settings::UserSettings;
use crate::{format, json};

/// Columns of the level and of the topic.
const COLUMNS: (usize, usize) = (6, 11);

/// The `--json` event of one finding.
#[derive(Serialize)]
#[serde(tag = "event", rename = "check")]
struct CheckEvent<'a> {
    topic: &'static str,
    level: &'static str,
    message: &'a str,
    fix: Option<&'a str>,
}

impl<'a> CheckEvent<'a> {
    fn of(finding: &'a Finding) -> Self {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let Finding { topic, text, fix, .. } = finding;
        Self { topic, level, message: text, fix: fix.as_deref() }
    }
}

/// Prints each finding.
///
/// # Errors
///
/// A check fails: `Config` for a setting or a file, else `Unavailable`.
pub(crate) fn run(common: &CommonArgs) -> Result<(), Exit> {
    let socket = UserSettings::read()?.find_socket(common.socket.as_deref())?;
    let colours = format::prints_colours();
    let mut failures = Vec::new();
    let (mut looks, mut warnings) = (0, 0);
    examine(&socket, &mut |finding| {
        looks += 1;
        warnings += usize::from(finding.level == Level::Warn);
        if common.json {
            json::print(&CheckEvent::of(&finding))?;
        } else {
            print(&line(&finding, colours))?;
        }
        if finding.level == Level::Fail {
            failures.push((finding.topic, finding.kind));
        }
        Ok(())
    })?;
    if failures.is_empty() {
        let warned = match warnings {
            0 => "no problems".to_owned(),
            1 => "images can be generated, 1 warning".to_owned(),
            n => format!("images can be generated, {n} warnings"),
        };
        return if common.json { Ok(()) } else { print(&format!("{looks} checks: {warned}\n")) };
    }
    let is_config = failures.iter().any(|(_, kind)| *kind == Kind::Config);
    let kind = if is_config { Kind::Config } else { Kind::Unavailable };
    let topics: Vec<_> = failures.iter().map(|(topic, _)| *topic).collect();
    let message = format!("{} of {looks} checks failed: {}", topics.len(), topics.join(", "));
    Err(Failure::new(kind, message).into())
}

fn print(text: &str) -> Result<(), Exit> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::stdout(&error))
}

/// The line of a finding, and the remedy below it.
fn line(finding: &Finding, colours: bool) -> String {
    let (name, colour) = match finding.level {
        Level::Ok => ("ok", "\x1b[32m"),
        Level::Warn => ("warn", "\x1b[33m"),
        Level::Fail => ("FAIL", "\x1b[1;31m"),
    };
    let (levels, things) = COLUMNS;
    let [colour, plain] = if colours { [colour, "\x1b[0m"] } else { [""; 2] };
    let text = format::printable(&finding.text);
    let mut shown = format!("{colour}{name:<levels$}{plain}{:<things$}{text}\n", finding.topic);
    if let Some(fix) = &finding.fix {
        let indent = " ".repeat(levels + things);
        shown += &format!("{indent}→ {}\n", format::printable(fix));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_with_what_to_type_below() {
        let finding = Finding {
            topic: "socket",
            level: Level::Fail,
            text: "it is\u{1b}[1m odd".to_owned(),
            fix: Some("`rm it`".to_owned()),
            kind: Kind::Config,
        };
        let plain = "FAIL  socket     it is\\u{1b}[1m odd\n                 → `rm it`\n";
        assert_eq!(line(&finding, false), plain);
        let coloured = line(&finding, true);
        assert!(coloured.starts_with("\x1b[1;31mFAIL  \x1b[0msocket"), "{coloured:?}");
        let well = Finding { level: Level::Ok, fix: None, ..finding };
        assert_eq!(line(&well, false), "ok    socket     it is\\u{1b}[1m odd\n");
    }
}
