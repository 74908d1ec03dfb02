//! The commands, one file each.

pub(crate) mod draw;
pub(crate) mod status;

use crate::stop::Stop;
use crate::typed::{Cli, Task};

/// The name and version that a daemon of another version is told of.
pub(crate) const PROGRAM: &str = concat!("zimg ", env!("CARGO_PKG_VERSION"));

/// Does what was typed.
///
/// # Errors
///
/// The command's own.
pub(crate) fn run(cli: &Cli) -> Result<(), Stop> {
    match &cli.task {
        Task::Draw(args) => draw::run(args, &cli.common),
        Task::Status => status::run(&cli.common),
    }
}
