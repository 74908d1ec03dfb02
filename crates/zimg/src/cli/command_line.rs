//! The `zimg` command line as clap parses it: the subcommands and their help.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use super::common::{CommonArgs, ConfigCommand, RedoArgs, ShowArgs};
use super::draw::DrawArgs;
use super::help;
use super::jobs::{CancelArgs, WaitArgs};
use super::status::StatusArgs;

/// Colours of the help and of mistakes, where a terminal shows them to somebody who wants them.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Draw images with zimaged
///
/// zimg sends a prompt to the zimaged service and writes the image it draws. Sizes, steps and
/// guidance that are not given are the model's own defaults.
#[derive(Debug, Parser)]
#[command(
    version,
    styles = STYLES,
    arg_required_else_help = true,
    max_term_width = 100,
    override_usage = "zimg [OPTIONS] <PROMPT>\n       zimg <COMMAND>",
    after_help = help::EXAMPLES,
    after_long_help = help::LONG_EXAMPLES
)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Option<Subcommands>,
    #[command(flatten)]
    pub(super) draw: DrawArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Subcommands {
    /// Draw images; the word may be left out
    #[command(after_long_help = help::DRAW)]
    Draw(DrawArgs),
    /// Draw an image again as it was made, but for what is typed
    #[command(after_help = help::REDO)]
    Redo(RedoArgs),
    /// Print how an image was made
    #[command(after_help = help::SHOW)]
    Show(ShowArgs),
    /// List your jobs: those that wait, are drawn, or are kept
    #[command(after_help = help::JOBS)]
    Jobs,
    /// Save the images of detached jobs, once they are drawn
    #[command(after_help = help::WAIT)]
    Wait(Box<WaitArgs>),
    /// Stop jobs, or drop what is kept of them
    Cancel(CancelArgs),
    /// Say how the daemon and its worker are
    #[command(after_help = help::STATUS)]
    Status(StatusArgs),
    /// Print the daemon's figures for Prometheus
    #[command(after_help = help::METRICS)]
    Metrics,
    /// Look for what keeps images from being drawn, and say what to type
    #[command(after_help = help::DOCTOR)]
    Doctor,
    /// Free the GPU until the next prompt
    Sleep,
    /// Bring the model back before a prompt does
    Wake,
    /// Print the settings that are in force
    #[command(subcommand, after_long_help = help::CONFIG)]
    Config(ConfigCommand),
    /// Print completions for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write all pages into a folder
    Man {
        /// Where to write zimg.1, zimg-draw.1 and so on
        #[arg(value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
    },
}

pub(super) fn usage(message: &str) -> clap::Error {
    CommandLine::command().error(ErrorKind::ArgumentConflict, message)
}

/// The command that this word is one slip away from.
pub(crate) fn near_command(word: &str) -> Option<String> {
    let near = |name: &str| strsim::osa_distance(name, word) == 1;
    let commands = CommandLine::command();
    commands.get_subcommands().map(|c| c.get_name()).find(|name| near(name)).map(str::to_owned)
}
