//! A progress line on standard error that changes in place, and permanent lines above it.

use std::io;

use crate::{format, stderr};

/// The width of a terminal that does not report it.
const COLUMNS: u16 = 80;
/// Carriage return, and erase the line.
const WIPE: &str = "\r\x1b[K";
/// Synchronized output: terminals that have it show what is between these at once.
const AT_ONCE: [&str; 2] = ["\x1b[?2026h", "\x1b[?2026l"];
/// Columns of the bar.
const BAR: usize = 20;

/// A progress line.
#[derive(Debug, Default)]
pub(crate) struct ProgressLine {
    shown: bool,
    /// What was shown last.
    part: Option<f32>,
    text: String,
}

impl ProgressLine {
    /// Replaces the line, cut to the terminal's width: a wrapped line could not be erased. A bar
    /// comes first, if the part that is done is known and there is room.
    pub(crate) fn show(&mut self, part: Option<f32>, text: &str) {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let columns = size.ok().map(|size| size.ws_col).filter(|columns| *columns > 1);
        let room = usize::from(columns.unwrap_or(COLUMNS)) - 1;
        stderr::show(&format!("{WIPE}{}", line(part, text, room, format::coloured())));
        self.shown = true;
        self.part = part;
        text.clone_into(&mut self.text);
    }

    /// Prints something above the line, without flicker.
    pub(crate) fn aside(&mut self, draw: impl FnOnce()) {
        let shown = self.shown;
        stderr::show(AT_ONCE[0]);
        self.wipe();
        draw();
        if shown {
            let text = std::mem::take(&mut self.text);
            self.show(self.part, &text);
        }
        stderr::show(AT_ONCE[1]);
    }

    /// Prints a permanent line.
    pub(crate) fn say(&mut self, text: &str) {
        self.wipe();
        stderr::say(&format!("{}\n", format::printable(text)));
    }

    /// Erases the line.
    pub(crate) fn wipe(&mut self) {
        if std::mem::take(&mut self.shown) {
            stderr::show(WIPE);
        }
    }
}

/// Erases the line however the work ends.
impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// The bar and the text in this many columns.
fn line(part: Option<f32>, text: &str, room: usize, colours: bool) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    // A narrow terminal never has a bar, so that it does not come and go.
    let fits = room >= 3 * BAR - 1 && room >= BAR + 2 + format::columns(&text);
    match part.filter(|_| fits) {
        Some(part) => format!("{}  {text}", bar(part, colours)),
        None => format::cut(&text, room).to_owned(),
    }
}

/// The done part is heavy, the rest light.
fn bar(part: f32, colours: bool) -> String {
    let done = (part.clamp(0.0, 1.0) * BAR as f32) as usize;
    let (heavy, light) = ("━".repeat(done), "─".repeat(BAR - done));
    if colours { format!("\x1b[36m{heavy}\x1b[90m{light}\x1b[0m") } else { heavy + &light }
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
