//! One line on standard error that changes in place, and lines that stay above it.

use std::io::{self, Write};

use crate::words;

/// Columns where the terminal does not say how many it has.
const COLUMNS: u16 = 80;
/// Back to the line's start, and wipe it.
const WIPE: &str = "\r\x1b[K";

/// The changing line.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// Shows this in place of what was shown before, cut to the terminal's width: a wrapped line
    /// could not be wiped.
    pub(crate) fn show(&mut self, text: &str) {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let columns = size.ok().map(|size| size.ws_col).filter(|columns| *columns > 1);
        let room = usize::from(columns.unwrap_or(COLUMNS)) - 1;
        let text: String = text.chars().filter(|c| !c.is_control()).take(room).collect();
        to_stderr(&format!("{WIPE}{text}"));
        self.shown = true;
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, text: &str) {
        self.wipe();
        to_stderr(&format!("{}\n", words::printable(text)));
    }

    /// Takes the changing line away.
    pub(crate) fn wipe(&mut self) {
        if std::mem::take(&mut self.shown) {
            to_stderr(WIPE);
        }
    }
}

/// The line goes, whatever ends the work.
impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Progress that cannot be told is no reason to stop drawing.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
