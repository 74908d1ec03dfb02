//! Detection of the terminal's image protocol: from its environment, else by a query.

use std::env;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::O_NOCTTY;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp, ttyname};

use super::cells::ColourDepth;
use super::terminal::{ImageProtocol, ImageTerminal};
use crate::cli::GraphicsArg;
use crate::format;
use crate::interrupt::Interrupt;

/// How long to wait for the terminal's answer: longer than over a slow ssh connection.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Whether it knows kitty's graphics; how large a cell is; whether a colour of 24 bits that it is
/// given is the one that it then has (<https://github.com/termstandard/colors>); and last what it
/// is, which all answer.
const QUESTION: &[u8] = b"\x1b_Gi=1,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\
    \x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[49m\x1b[c";
/// The longest answer that is read.
const ANSWER_MAX: usize = 4096;
/// The cell size if the terminal does not report it.
const CELL: (u32, u32) = (10, 20);

/// The terminal's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answer {
    kitty: bool,
    sixel: bool,
    /// Colours have 24 bits: over ssh the environment seldom says so.
    true_colours: bool,
    /// A cell's width and height in pixels.
    cell: Option<(u32, u32)>,
}

/// The terminal of standard error, for the requested protocol; none if it shows no images.
pub(super) fn terminal(how: GraphicsArg, interrupt: &Interrupt) -> Option<ImageTerminal> {
    let variable = |name: &str| env::var_os(name);
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    let (columns, rows) = (u32::from(size.ws_col).max(1), u32::from(size.ws_row).max(1));
    let pixels = (u32::from(size.ws_xpixel) / columns, u32::from(size.ws_ypixel) / rows);
    let known = Some(pixels).filter(|cell| cell.0 > 0 && cell.1 > 0);
    let named = match how {
        // A dumb terminal takes no control sequences, not even the query.
        GraphicsArg::Auto if format::is_dumb() => return None,
        GraphicsArg::Auto => by_name(variable),
        GraphicsArg::Kitty => Some(ImageProtocol::Kitty),
        GraphicsArg::Iterm2 => Some(ImageProtocol::Iterm2),
        GraphicsArg::Sixel => Some(ImageProtocol::Sixel),
        GraphicsArg::Blocks => Some(ImageProtocol::Blocks(colours(variable))),
        GraphicsArg::None => return None,
    };
    let blocks = matches!(named, Some(ImageProtocol::Blocks(_)));
    let answer = if blocks || (named.is_some() && known.is_some()) {
        Answer::default()
    } else {
        // No signal ends zimg while the terminal does not echo.
        let _no_exit = interrupt.hold();
        ask().unwrap_or_default()
    };
    let protocol = match named {
        Some(protocol) => protocol,
        None if answer.kitty => ImageProtocol::Kitty,
        None if answer.sixel => ImageProtocol::Sixel,
        None if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) => return None,
        None if answer.true_colours => ImageProtocol::Blocks(ColourDepth::True),
        None => ImageProtocol::Blocks(colours(variable)),
    };
    Some(ImageTerminal { protocol, columns, rows, cell: known.or(answer.cell).unwrap_or(CELL) })
}

/// The protocol of a terminal that names itself in the environment. Inside a multiplexer that is
/// another terminal.
fn by_name(variable: impl Fn(&str) -> Option<OsString>) -> Option<ImageProtocol> {
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    if text("TMUX").is_some() || text("STY").is_some() {
        return None;
    }
    let is = |name: &str, values: &[&str]| text(name).is_some_and(|v| values.contains(&v.as_str()));
    if is("TERM", &["xterm-kitty", "xterm-ghostty"]) || is("TERM_PROGRAM", &["ghostty"]) {
        return Some(ImageProtocol::Kitty);
    }
    if is("TERM_PROGRAM", &["iTerm.app", "WezTerm", "mintty"]) {
        return Some(ImageProtocol::Iterm2);
    }
    None
}

fn colours(variable: impl Fn(&str) -> Option<OsString>) -> ColourDepth {
    let says = |name: &str, words: &[&str]| {
        let value = variable(name).and_then(|value| value.into_string().ok()).unwrap_or_default();
        words.iter().any(|word| value.contains(word))
    };
    if says("COLORTERM", &["truecolor", "24bit"]) || says("TERM", &["direct"]) {
        ColourDepth::True
    } else {
        ColourDepth::Palette
    }
}

/// Queries the terminal; none if that would disturb it.
fn ask() -> Option<Answer> {
    let path = ttyname(std::io::stderr()).ok()?;
    let mut tty =
        OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(path).ok()?;
    // A background process would be stopped here, on its own terminal.
    if tcgetpgrp(&tty).is_ok_and(|foreground| foreground != getpgrp()) {
        return None;
    }
    let quiet = Quiet::of(tty.try_clone().ok()?)?;
    tty.write_all(QUESTION).ok()?;
    let answer = listen(&mut tty);
    drop(quiet);
    Some(understood(&answer))
}

/// Reads until the last answer or for `TIMEOUT`.
fn listen(tty: &mut File) -> Vec<u8> {
    let until = Instant::now() + TIMEOUT;
    let (mut answer, mut buffer) = (Vec::new(), [0; 256]);
    while !complete(&answer) && answer.len() < ANSWER_MAX {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut waiting = [PollFd::new(tty.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout) {
            _ if left.is_zero() => break,
            // It was suspended, or the window became another.
            Err(Errno::EINTR) => continue,
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        match tty.read(&mut buffer) {
            Ok(bytes) if bytes > 0 => answer.extend_from_slice(&buffer[..bytes]),
            _ => break,
        }
    }
    answer
}

/// A terminal without echo and line mode, restored on drop.
struct Quiet {
    tty: File,
    before: Termios,
}

impl Quiet {
    fn of(tty: File) -> Option<Self> {
        let before = tcgetattr(&tty).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        tcsetattr(&tty, SetArg::TCSANOW, &quiet).ok()?;
        Some(Self { tty, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.tty, SetArg::TCSANOW, &self.before);
    }
}

/// The parameters of the answer to `CSI c`: `\x1b[?62;4;22c`.
fn attributes(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (_, after) = text.rsplit_once("\x1b[?")?;
    let (parameters, _) = after.split_once('c')?;
    let plain = parameters.chars().all(|c| c.is_ascii_digit() || c == ';');
    plain.then(|| parameters.to_owned())
}

fn complete(answer: &[u8]) -> bool {
    attributes(answer).is_some()
}

fn understood(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let sixel = attributes(answer).is_some_and(|list| list.split(';').any(|number| number == "4"));
    // `\x1b[6;HEIGHT;WIDTHt`
    let cell = text.split("\x1b[6;").nth(1).and_then(|rest| {
        let (height, width) = rest.split_once('t')?.0.split_once(';')?;
        let side = |text: &str| text.parse().ok().filter(|side| (1..=256).contains(side));
        Some((side(width)?, side(height)?))
    });
    // `\x1bP1$r0;48;2;1;2;3m`, or with colons, of which one may be more.
    let has = text.split("\x1bP1$r").nth(1).and_then(|rest| rest.split_once('m'));
    let has = has.map(|(has, _)| has.replace("::", ":").replace(':', ";"));
    let true_colours = has.is_some_and(|has| has.ends_with("48;2;1;2;3"));
    Answer { kitty: text.contains("\x1b_Gi=1;OK"), sixel, true_colours, cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let kitty = b"\x1b_Gi=1;OK\x1b\\\x1b[6;20;10t\x1b[?62;c";
        assert!(complete(kitty));
        let cell = Some((10, 20));
        assert_eq!(understood(kitty), Answer { kitty: true, cell, ..Answer::default() });
        let foot = b"\x1b[6;18;9t\x1b[?62;4;22c";
        let cell = Some((9, 18));
        assert_eq!(understood(foot), Answer { sixel: true, cell, ..Answer::default() });
        let xterm = b"\x1bP1$r0;48:2::1:2:3m\x1b\\\x1b[?64;22c";
        assert_eq!(understood(xterm), Answer { true_colours: true, ..Answer::default() });
        let other = b"\x1bP0$r\x1b\\\x1bP1$r48;5;16m\x1b\\\x1b[?1;2c";
        assert_eq!(understood(other), Answer::default());
        for partial in [&b""[..], b"\x1b[?62;4", b"typed", b"\x1b[6;20;10t"] {
            assert!(!complete(partial));
        }
        let liar = b"\x1b[6;0;99999t\x1b[?64c";
        assert_eq!(understood(liar), Answer::default(), "64 is not 4");
    }

    #[test]
    fn some_terminals_name_themselves() {
        let named = |given: &[(&str, &str)]| {
            let given = given.to_owned();
            by_name(move |name| Some(given.iter().find(|pair| pair.0 == name)?.1.into()))
        };
        assert_eq!(named(&[("TERM", "xterm-kitty")]), Some(ImageProtocol::Kitty));
        assert_eq!(named(&[("TERM", "xterm-kitty"), ("TMUX", "x")]), None);
        assert_eq!(named(&[("TERM_PROGRAM", "iTerm.app")]), Some(ImageProtocol::Iterm2));
        assert_eq!(named(&[("TERM", "xterm-256color")]), None);
    }

    #[test]
    fn colours_are_as_many_as_are_promised() {
        let of = |colorterm: &str| {
            let value = colorterm.to_owned();
            colours(move |name| (name == "COLORTERM").then(|| value.clone().into()))
        };
        assert_eq!((of("truecolor"), of("")), (ColourDepth::True, ColourDepth::Palette));
    }
}
