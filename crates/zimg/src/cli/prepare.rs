//! Arguments of `zimg prepare`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};
use zimage_checkpoint::{ModelKind, PreparedType};

use super::values::path;

/// Arguments of `zimg prepare`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PrepareArgs {
    /// The checkpoint: a folder, a file of weights, or a repository in the Hugging Face cache
    #[arg(value_name = "MODEL", required_unless_present = "verify", value_hint = ValueHint::AnyPath,
        value_parser = path())]
    pub(crate) model: Option<PathBuf>,
    /// The file to write, whose name ends in .safetensors
    #[arg(short, long, value_name = "FILE", required_unless_present = "verify",
        value_hint = ValueHint::FilePath, value_parser = path())]
    pub(crate) output: Option<PathBuf>,
    /// The type of the transformer's large matrices
    ///
    /// Images are those of the checkpoint under this dtype, to the bit. int8 has less loss than float8;
    /// its rows are rotated (ConvRot). All else is written as bfloat16.
    #[arg(long, value_name = "DTYPE", default_value = "bfloat16", value_parser = dtype())]
    pub(crate) dtype: PreparedType,
    /// The type of the text encoder's large matrices
    #[arg(long, value_name = "DTYPE", default_value = "bfloat16", value_parser = dtype())]
    pub(crate) text_encoder_dtype: PreparedType,
    /// The text encoder's file or folder, if MODEL has none or another one is to be used
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) text_encoder: Option<PathBuf>,
    /// The VAE's file or folder, likewise
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) vae: Option<PathBuf>,
    /// The tokenizer's file or folder, likewise
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) tokenizer: Option<PathBuf>,
    /// turbo or base, for files that do not tell it
    #[arg(long, value_name = "KIND", value_parser = kind())]
    pub(crate) model_kind: Option<ModelKind>,
    /// Replace FILE if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Compare the checksums of a prepared file, and write nothing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = path(),
        conflicts_with_all = ["model", "output", "dtype", "text_encoder_dtype", "text_encoder",
            "vae", "tokenizer", "model_kind", "force"])]
    pub(crate) verify: Option<PathBuf>,
    /// Show nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

fn dtype() -> impl TypedValueParser<Value = PreparedType> {
    PossibleValuesParser::new(["bfloat16", "float8", "int8"])
        .try_map(|text| text.parse::<PreparedType>())
}

fn kind() -> impl TypedValueParser<Value = ModelKind> {
    PossibleValuesParser::new(["turbo", "base"]).try_map(|text| text.parse::<ModelKind>())
}
