//! Formatting for people: states, sizes, durations, terminal columns and colours.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use zimg_client::{Waiting, WorkerState};

use crate::exit::Exit;

/// The reason why a job waits.
pub(crate) fn waiting(waiting: &Waiting) -> String {
    match waiting {
        Waiting::Queue { position: 0 } => "waiting: next in the queue".to_owned(),
        Waiting::Queue { position: 1 } => "waiting: 1 job is before this one".to_owned(),
        Waiting::Queue { position } => format!("waiting: {position} jobs are before this one"),
        Waiting::Worker(state) => format!("waiting: {}", worker(state)),
        Waiting::Preempted { .. } => "waiting: preempted by an interactive job".to_owned(),
        Waiting::Disk(failure) => format!("waiting: {failure}"),
    }
}

/// The state of the worker.
pub(crate) fn worker(state: &WorkerState) -> String {
    match state {
        WorkerState::Starting => "the worker starts".to_owned(),
        WorkerState::Loading { done, total } => {
            let percent = if *total == 0 { 0 } else { (done.saturating_mul(100) / total).min(100) };
            format!("loading the model, {percent} % ({} of {})", bytes(*done), bytes(*total))
        }
        WorkerState::Warming => "warming up".to_owned(),
        WorkerState::Ready => "ready".to_owned(),
        WorkerState::Busy { job, step, of } => format!("running job {job}, step {step} of {of}"),
        WorkerState::Draining => "finishing the last image before it ends".to_owned(),
        WorkerState::Restarting { in_ms, reason } => {
            format!("the worker starts again in {} ({reason})", seconds(*in_ms as f32 / 1e3))
        }
        WorkerState::Failed(failure) => format!("the worker failed: {failure}"),
        WorkerState::Asleep => "asleep until the next prompt".to_owned(),
    }
}

/// The text on one line of a terminal. Control characters, as in file names and other programs'
/// output, are escaped (`\n`, `\u{1b}`).
pub(crate) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// [`printable`], without the error number behind the system's message.
pub(crate) fn sentence(text: &str) -> String {
    let number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((code, rest)) if number(code) => plain += rest,
            _ => plain += &format!(" (os error {part}"),
        }
    }
    printable(&plain)
}

/// Columns of the text on a terminal: Chinese characters and emoji take two.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// The beginning of the text that fits into this many columns.
pub(crate) fn cut(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += c.width().unwrap_or_default();
        taken > columns
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// Prints a path in a line on standard output, as it is.
pub(crate) fn print_path(path: &Path) -> Result<(), Exit> {
    let line = [path.as_os_str().as_bytes(), b"\n"].concat();
    io::stdout().lock().write_all(&line).map_err(|error| Exit::stdout(&error))
}

/// Whether standard error is a terminal, and colours are not switched off
/// (<https://no-color.org>).
pub(crate) fn coloured() -> bool {
    io::stderr().is_terminal() && wants_colours()
}

/// The same for standard output.
pub(crate) fn prints_colours() -> bool {
    io::stdout().is_terminal() && wants_colours()
}

/// Whether colours are not switched off.
pub(crate) fn wants_colours() -> bool {
    let is = |name: &str, no: fn(&OsStr) -> bool| env::var_os(name).is_some_and(|value| no(&value));
    !is("NO_COLOR", |value| !value.is_empty()) && !is("TERM", |value| value == "dumb")
}

/// Whether the terminal is dumb: it takes no control sequences.
pub(crate) fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// The number of images in words.
pub(crate) fn images(count: u64) -> String {
    if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
}

/// The number of denoising steps in words.
pub(crate) fn steps(count: u32) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}

/// Bytes in a unit that leaves about three digits.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e3 => format!("{b} B"),
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

/// A duration in seconds or minutes.
pub(crate) fn seconds(seconds: f32) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// An estimated duration.
pub(crate) fn about(guess: f32) -> String {
    if guess < 10.0 { format!("{guess:.1} s") } else { seconds(guess) }
}

/// The uptime of a daemon.
pub(crate) fn uptime(s: u64) -> String {
    let (minutes, hours, days) = (s / 60 % 60, s / 3600 % 24, s / 86400);
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{minutes} min"),
        3600..86400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_says_why() {
        let loading = WorkerState::Loading { done: 1_500_000_000, total: 12_000_000_000 };
        assert_eq!(
            waiting(&Waiting::Worker(loading)),
            "waiting: loading the model, 12 % (1.5 GB of 12.0 GB)"
        );
        let liar = WorkerState::Loading { done: u64::MAX, total: 0 };
        assert!(worker(&liar).starts_with("loading the model, 0 %"));
        assert_eq!(waiting(&Waiting::Queue { position: 2 }), "waiting: 2 jobs are before this one");
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\nb\x1b[31m\u{9b}c é🦊"), r"a\nb\u{1b}[31m\u{9b}c é🦊");
    }

    #[test]
    fn the_systems_numbers_are_left_out() {
        let text = "cannot read a: No such file or directory (os error 2), or b (os error x)\n";
        let told = "cannot read a: No such file or directory, or b (os error x)\\n";
        assert_eq!(sentence(text), told);
    }

    #[test]
    fn columns_are_not_characters() {
        assert_eq!((columns("fox"), columns("狐狸"), columns("🦊"), columns("é")), (3, 4, 2, 1));
        assert_eq!((cut("fox", 3), cut("fox", 2), cut("狐狸", 3)), ("fox", "fo", "狐"));
        // A mark over a letter takes no column, and stays with it.
        assert_eq!(cut("e\u{301}x", 1), "e\u{301}");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234_000), "1 MB");
        assert_eq!(seconds(0.612), "0.61 s");
        assert_eq!(seconds(61.0), "61 s");
        assert_eq!(seconds(7200.0), "120 min");
        assert_eq!((about(0.612), about(12.3)), ("0.6 s".to_owned(), "12 s".to_owned()));
        assert_eq!(uptime(3), "3 s");
        assert_eq!(uptime(3600 + 125), "1 h 2 min");
        assert_eq!(uptime(3 * 86400 + 5 * 3600), "3 d 5 h");
    }
}
