//! Arguments of `zimg pull`.

use std::path::PathBuf;

use clap::Args;
use zimg_hub::{ModelRequest, Revision};

/// What `zimg pull` alone fetches.
const DEFAULT: &str = "Tongyi-MAI/Z-Image-Turbo";

/// Arguments of `zimg pull`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PullArgs {
    /// OWNER/NAME[:VARIANT]: the repository, and which of its checkpoints if it has several
    ///
    /// OWNER/NAME is a repository on the Hugging Face Hub. VARIANT is the part of a file's name that
    /// tells the variants from each other, as bf16, nvfp4 or Q4_K, or a file's path; of a folder in
    /// diffusers' layout it is the infix of its files, as fp16.
    #[arg(value_name = "MODEL", default_value = DEFAULT, value_parser = request)]
    pub(crate) model: ModelRequest,
    /// Fetch a LoRA into this directory, one of zimaged's --lora-dir, instead of a checkpoint
    ///
    /// The file is linked from the cache, or copied to another disk: DIR/NAME/FILE, where NAME is the
    /// repository's. VARIANT names one of several.
    #[arg(long, value_name = "DIR", value_parser = super::values::path())]
    pub(crate) lora_dir: Option<PathBuf>,
    /// A branch, a tag or a commit
    #[arg(long, value_name = "REVISION", default_value = "main", value_parser = revision)]
    pub(crate) revision: Revision,
    /// Fetch this repository's files only, not the text encoder and the VAE that it lacks
    #[arg(long)]
    pub(crate) only: bool,
    /// Print the files and their sizes, and fetch nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Fetch without a question, also if the disk is nearly full afterwards
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Show nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

fn request(text: &str) -> Result<ModelRequest, String> {
    text.parse().map_err(|error: zimg_hub::Error| error.to_string())
}

fn revision(text: &str) -> Result<Revision, String> {
    text.parse().map_err(|error: zimg_hub::Error| error.to_string())
}
