//! The question before a large download: does it fit, and does it nearly fill the disk?

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use zimg_client::{Failure, Kind};
use zimg_hub::{Error, free_bytes};

use super::failure;
use crate::format;

/// A disk with less free than this is nearly full.
const NEARLY_FULL: u64 = 2_000_000_000;

/// Refuses what does not fit, and asks about what would nearly fill the disk. `sure`: the user has
/// answered already.
///
/// # Errors
///
/// `Io`: it does not fit, or there is no terminal to ask on; `Cancelled`: the answer was no.
pub(crate) fn check_disk(cache: &Path, needed: u64, sure: bool) -> Result<(), Failure> {
    // Without a figure the disk itself answers.
    let Some(free) = free_bytes(cache) else { return Ok(()) };
    let folder = cache.display().to_string();
    let (free_text, needed_text) = (format::bytes(free), format::bytes(needed));
    if needed > free {
        let error = Error::NoSpace { folder, free: free_text, needed: needed_text };
        return Err(failure(&error));
    }
    let left = free - needed;
    if needed == 0 || left >= NEARLY_FULL || sure {
        return Ok(());
    }
    let left = format::bytes(left);
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let message = format!("{needed_text} would leave {left} free on the disk of {folder}");
        return Err(Failure::new(Kind::Io, message).hint("with --yes it is fetched all the same"));
    }
    let question = format!("Fetching {needed_text} leaves {left} free in {folder}. Fetch? [y/N] ");
    let mut answer = String::new();
    let asked = io::stderr().write_all(question.as_bytes());
    let read = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(Kind::Cancelled, "nothing was fetched")),
    }
}
