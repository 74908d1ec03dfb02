//! Arguments of `zimg models`.

use clap::Args;

/// Arguments of `zimg models`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelsArgs {
    /// Also list models that zimg does not serve, and why
    #[arg(short, long)]
    pub(crate) all: bool,
}
