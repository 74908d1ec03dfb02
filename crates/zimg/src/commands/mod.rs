//! The commands, one file each.

mod cancel;
mod config;
mod doctor;
mod draw;
mod jobs;
mod metrics;
mod papers;
mod redo;
mod show;
mod sleep;
mod status;
mod wait;
mod wake;

pub(crate) use self::status::Seen;

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
        Task::Draw(typed) => draw::run(typed, &cli.common),
        Task::Redo(typed) => redo::run(typed, &cli.common),
        Task::Show(typed) => show::run(typed, &cli.common),
        Task::Jobs => jobs::run(&cli.common),
        Task::Wait(typed) => wait::run(typed, &cli.common),
        Task::Cancel(typed) => cancel::run(typed, &cli.common),
        Task::Status(typed) => status::run(typed, &cli.common),
        Task::Metrics => metrics::run(&cli.common),
        Task::Doctor => doctor::run(&cli.common),
        Task::Sleep => sleep::run(&cli.common),
        Task::Wake => wake::run(&cli.common),
        Task::Config(typed) => config::run(typed, &cli.common),
        Task::Papers(typed) => papers::run(typed, &cli.common),
    }
}
