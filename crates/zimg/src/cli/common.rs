//! Arguments of every command, and of the small commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::Shell;
use zimg_client::{Failure, Kind};

use super::draw::DrawOptions;
use super::values::path;

/// Arguments of every command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CommonArgs {
    /// The daemon's socket
    ///
    /// Without it: ZIMG_SOCKET, then the configuration file's, then
    /// $XDG_RUNTIME_DIR/zimaged/zimaged.sock if it exists, then /run/zimaged/zimaged.sock.
    #[arg(long, value_name = "PATH", global = true, value_hint = ValueHint::FilePath,
        value_parser = path())]
    pub(crate) socket: Option<PathBuf>,
    /// Print events as lines of JSON on standard output
    ///
    /// One object a line, with the fields "v" (1) and "event". A failure is the last line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Arguments of `zimg redo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RedoArgs {
    /// Images by zimg, or by another program whose metadata zimg reads
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath, value_parser = path())]
    pub(crate) files: Vec<PathBuf>,
    /// Another prompt
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) options: DrawOptions,
}

/// Arguments of `zimg show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArgs {
    /// PNG, JPEG or WebP files
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath, value_parser = path())]
    pub(crate) files: Vec<PathBuf>,
    /// Print the text that other programs read, or the text that another program wrote
    #[arg(long, conflicts_with = "json")]
    pub(crate) parameters: bool,
}

/// Subcommands of `zimg config`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print all settings in the format of the configuration file
    Show {
        /// Print where each setting is from
        #[arg(long)]
        origin: bool,
    },
    /// Print the path of the configuration file
    Path,
}

/// Arguments of `zimg completions` and `zimg man`.
#[derive(Clone, Debug)]
pub(crate) enum DocsCommand {
    Completions(Shell),
    Man(Option<PathBuf>),
}

impl CommonArgs {
    /// Refuses `--json` for a command that prints no JSON.
    ///
    /// # Errors
    ///
    /// `Usage` with this message if `--json` was given.
    pub(crate) fn refuse_json(&self, message: &str) -> Result<(), Failure> {
        if self.json { Err(Failure::new(Kind::Usage, message)) } else { Ok(()) }
    }
}
