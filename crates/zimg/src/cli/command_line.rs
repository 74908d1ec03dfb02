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
use super::mcp::McpArgs;
use super::models::ModelsArgs;
use super::prepare::PrepareArgs;
use super::pull::PullArgs;
use super::status::StatusArgs;
use super::values::path;
use super::web::WebArgs;

/// Colours of help and usage errors, on a terminal with colours.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Generate images with zimaged
///
/// zimg sends a prompt to the zimaged service and saves the image that it generates. Parameters
/// that are not given have the model's defaults.
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
    /// Generate images; the word draw may be omitted
    #[command(after_long_help = help::DRAW)]
    Draw(DrawArgs),
    /// Generate an image again from its metadata, with the options that are given
    #[command(after_help = help::REDO)]
    Redo(RedoArgs),
    /// Print the generation metadata of an image
    #[command(after_help = help::SHOW)]
    Show(ShowArgs),
    /// List your jobs: waiting, running, and detached ones with images to fetch
    #[command(after_help = help::JOBS)]
    Jobs,
    /// Wait for detached jobs and save their images
    #[command(after_help = help::WAIT)]
    Wait(Box<WaitArgs>),
    /// Stop jobs, or delete the stored images of detached ones
    Cancel(CancelArgs),
    /// Print the state of the daemon and its worker
    #[command(after_help = help::STATUS)]
    Status(StatusArgs),
    /// Print the daemon's metrics for Prometheus
    #[command(after_help = help::METRICS)]
    Metrics,
    /// Fetch the model from the Hugging Face Hub
    #[command(after_help = help::PULL)]
    Pull(Box<PullArgs>),
    /// List the checkpoints on this machine, and which one is served
    #[command(after_help = help::MODELS)]
    Models(ModelsArgs),
    /// List the LoRAs that --lora can name, and what is wrong with the others
    #[command(after_help = help::LORAS)]
    Loras,
    /// Write a checkpoint as one file that loads fast, and verify such files
    #[command(after_help = help::PREPARE)]
    Prepare(Box<PrepareArgs>),
    /// Find what prevents images from being generated, and print what to do
    #[command(after_help = help::DOCTOR)]
    Doctor,
    /// Let agents generate images: an MCP server on standard input and output
    #[command(after_help = help::MCP)]
    Mcp(McpArgs),
    /// Free the GPU until the next prompt
    Sleep,
    /// Load the model before a prompt does
    Wake,
    /// Open the web page: on this machine, for you alone
    #[command(after_help = help::WEB)]
    Web(WebArgs),
    /// Print the settings in force
    #[command(subcommand, after_long_help = help::CONFIG)]
    Config(ConfigCommand),
    /// Print the completions of a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page, or write all pages to a folder
    Man {
        /// Where to write zimg.1, zimg-draw.1 and so on
        #[arg(value_hint = ValueHint::DirPath, value_parser = path())]
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
