//! The prompt: from the command line or from standard input.

use std::io::{self, IsTerminal, Read, Write};

use zimg_client::{Failure, Kind, limits};

/// The given prompt, or for "-" the one on standard input.
///
/// # Errors
///
/// `Io`: standard input cannot be read. `Refused`: it is too long or not UTF-8.
pub(crate) fn read(typed: &str) -> Result<String, Failure> {
    if typed == "-" { from_stdin() } else { Ok(typed.to_owned()) }
}

/// Reads standard input, without the newline at its end.
fn from_stdin() -> Result<String, Failure> {
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        let _ = io::stderr().write_all(b"type the prompt, then Ctrl-D:\n");
    }
    let mut bytes = Vec::new();
    // One byte more than the limit and a newline, so that the check of the limit refuses it.
    let read = stdin.take(limits::PROMPT_BYTES as u64 + 3).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Kind::Io, format!("cannot read standard input: {error}")))?;
    // A prompt that is cut in a character is too long, not invalid UTF-8.
    if bytes.len() > limits::PROMPT_BYTES + 2 {
        let limit = limits::PROMPT_BYTES;
        return Err(Failure::new(
            Kind::Refused,
            format!("the prompt is longer than {limit} bytes"),
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Kind::Refused, "the prompt on standard input is not UTF-8"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
