//! Arguments of `zimg mcp`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::values::path;

/// Arguments of `zimg mcp`.
#[derive(Args, Clone, Debug)]
pub(crate) struct McpArgs {
    /// Also save each image in this folder, as zimg-SEED.png with its metadata
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, value_parser = path())]
    pub(crate) save: Option<PathBuf>,
}
