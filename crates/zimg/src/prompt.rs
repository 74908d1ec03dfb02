//! The prompt: from the command line or from standard input.

use std::io::{self, IsTerminal, Read};

use zimg_client::{Failure, Kind, limits};

use crate::stderr;

/// The longest prompt with a byte order mark and CR LF. The check of parameters has the limit.
const LONGEST: usize = limits::PROMPT_BYTES + 5;

/// The given prompt, or for "-" the one on standard input.
///
/// # Errors
///
/// `Io`: standard input cannot be read. `Refused`: it is too long or not UTF-8.
pub(crate) fn read(typed: &str) -> Result<String, Failure> {
    if typed == "-" { from_stdin() } else { Ok(typed.to_owned()) }
}

/// Reads standard input, without the line ends at its end.
fn from_stdin() -> Result<String, Failure> {
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        stderr::say("type the prompt, then Ctrl-D:\n");
    }
    let mut bytes = Vec::new();
    // Some more bytes than the limit, a byte order mark and a line end.
    let read = stdin.take(LONGEST as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Kind::Io, format!("cannot read standard input: {error}")))?;
    // A prompt that is cut in a character is too long, not invalid UTF-8.
    if bytes.len() > LONGEST {
        let limit = limits::PROMPT_BYTES;
        return Err(Failure::new(
            Kind::Refused,
            format!("the prompt is longer than {limit} bytes"),
        ));
    }
    let text = zimg_text::decode(&bytes).map_err(|error| {
        let message = error.describe("the prompt on standard input");
        Failure::new(Kind::Refused, message).hint(error.hint(""))
    })?;
    Ok(text.trim_end_matches('\n').to_owned())
}
