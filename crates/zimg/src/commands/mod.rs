//! The commands of `zimg`, one file each.

mod cancel;
mod config;
mod doctor;
mod draw;
mod generate_docs;
mod jobs;
mod loras;
mod mcp;
mod metrics;
mod models;
mod prepare;
mod pull;
mod redo;
mod show;
mod sleep;
mod status;
mod wait;
mod wake;
mod web;

use crate::cli::{Cli, Command};
use crate::exit::Exit;

/// Runs the command.
///
/// # Errors
///
/// The failure of the command.
pub(crate) fn run(cli: &Cli) -> Result<(), Exit> {
    match &cli.command {
        Command::Draw(args) => draw::run(args, &cli.common),
        Command::Redo(args) => redo::run(args, &cli.common),
        Command::Show(args) => show::run(args, &cli.common),
        Command::Jobs => jobs::run(&cli.common),
        Command::Loras => loras::run(&cli.common),
        Command::Wait(args) => wait::run(args, &cli.common),
        Command::Cancel(args) => cancel::run(args, &cli.common),
        Command::Status(args) => status::run(args, &cli.common),
        Command::Metrics => metrics::run(&cli.common),
        Command::Models(args) => models::run(args, &cli.common),
        Command::Pull(args) => pull::run(args, &cli.common),
        Command::Prepare(args) => prepare::run(args, &cli.common),
        Command::Doctor => doctor::run(&cli.common),
        Command::Mcp(args) => mcp::run(args, &cli.common),
        Command::Sleep => sleep::run(&cli.common),
        Command::Wake => wake::run(&cli.common),
        Command::Web(args) => web::run(args, &cli.common),
        Command::Config(args) => config::run(args, &cli.common),
        Command::GenerateDocs(args) => generate_docs::run(args, &cli.common),
    }
}
