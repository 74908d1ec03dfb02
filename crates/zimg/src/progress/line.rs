//! A progress line on standard error that changes in place, and permanent lines above it.

use std::io::{self, Write};

use crate::format;

/// Columns where the terminal does not say how many it has.
const COLUMNS: u16 = 80;
/// Back to the line's start, and wipe it.
const WIPE: &str = "\r\x1b[K";
/// What is written between these is shown at once, by terminals that know it.
const AT_ONCE: [&str; 2] = ["\x1b[?2026h", "\x1b[?2026l"];
/// Columns of the bar.
const BAR: usize = 20;

/// The changing line.
#[derive(Debug, Default)]
pub(crate) struct ProgressLine {
    shown: bool,
    /// What was shown last.
    part: Option<f32>,
    text: String,
}

impl ProgressLine {
    /// Shows this in place of what was shown before, cut to the terminal's width: a wrapped line
    /// could not be wiped. Before it a bar, where it is known which part of the work is done and
    /// there is room.
    pub(crate) fn show(&mut self, part: Option<f32>, text: &str) {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let columns = size.ok().map(|size| size.ws_col).filter(|columns| *columns > 1);
        let room = usize::from(columns.unwrap_or(COLUMNS)) - 1;
        to_stderr(&format!("{WIPE}{}", line(part, text, room, format::coloured())));
        self.shown = true;
        self.part = part;
        text.clone_into(&mut self.text);
    }

    /// Draws something above the line, which is away meanwhile, but not seen to be.
    pub(crate) fn aside(&mut self, draw: impl FnOnce()) {
        let shown = self.shown;
        to_stderr(AT_ONCE[0]);
        self.wipe();
        draw();
        if shown {
            let text = std::mem::take(&mut self.text);
            self.show(self.part, &text);
        }
        to_stderr(AT_ONCE[1]);
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, text: &str) {
        self.wipe();
        to_stderr(&format!("{}\n", format::printable(text)));
    }

    /// Takes the changing line away.
    pub(crate) fn wipe(&mut self) {
        if std::mem::take(&mut self.shown) {
            to_stderr(WIPE);
        }
    }
}

/// The line goes, whatever ends the work.
impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// The bar and the text in so many columns.
fn line(part: Option<f32>, text: &str, room: usize, colours: bool) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    // In a narrow terminal no line has one, lest it come and go.
    let fits = room >= 3 * BAR - 1 && room >= BAR + 2 + format::columns(&text);
    match part.filter(|_| fits) {
        Some(part) => format!("{}  {text}", bar(part, colours)),
        None => format::cut(&text, room).to_owned(),
    }
}

/// What is done is heavy, what is left light.
fn bar(part: f32, colours: bool) -> String {
    let done = (part.clamp(0.0, 1.0) * BAR as f32) as usize;
    let (heavy, light) = ("━".repeat(done), "─".repeat(BAR - done));
    if colours { format!("\x1b[36m{heavy}\x1b[90m{light}\x1b[0m") } else { heavy + &light }
}

/// ProgressLine that cannot be told is no reason to stop drawing.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_shown_where_there_is_room() {
        let text = "step 2 of 8";
        assert_eq!(line(Some(0.25), text, 59, false), format!("━━━━━───────────────  {text}"));
        assert_eq!(line(Some(0.25), text, 58, false), text);
        let long = "a".repeat(60);
        assert_eq!(line(Some(0.25), &long, 79, false), long);
        assert_eq!(line(None, text, 6, false), "step 2");
        let coloured = line(Some(f32::NAN), text, 79, true);
        assert_eq!(coloured, format!("\x1b[36m\x1b[90m{}\x1b[0m  {text}", "─".repeat(20)));
        assert_eq!(line(Some(2.0), "", 79, false), format!("{}  ", "━".repeat(20)));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        assert_eq!(line(None, "狐狐狐 and\n more", 5, false), "狐狐");
    }
}
