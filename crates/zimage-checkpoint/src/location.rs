//! Where a model is configured to come from: the built-in model, or a path.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::kind::ModelKind;

/// The name of the built-in model in options, configuration and messages.
const BUILT_IN: &str = "tiny";

/// The model that an option or a configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ModelLocation {
    /// The small model inside `zimage-worker`, written `tiny`.
    #[default]
    BuiltIn,
    /// A checkpoint's folder.
    Path(PathBuf),
}

/// The model's path and what is named beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModelFiles {
    /// A folder, a file, or a repository in a Hugging Face cache.
    pub model: PathBuf,
    /// The text encoder, if it is not the model's own or the one beside it.
    pub text_encoder: Option<PathBuf>,
    /// The VAE, likewise.
    pub vae: Option<PathBuf>,
    /// The tokenizer's file or folder, if it is not Qwen3's or the model's own.
    pub tokenizer: Option<PathBuf>,
    /// The kind, if the files do not tell it.
    pub kind: Option<ModelKind>,
}

impl ModelFiles {
    /// A model whose path says everything.
    pub fn at(model: &Path) -> Self {
        Self { model: model.to_owned(), ..Self::default() }
    }
}

impl FromStr for ModelLocation {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == BUILT_IN { Self::BuiltIn } else { Self::Path(text.into()) })
    }
}

impl fmt::Display for ModelLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str(BUILT_IN),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_is_the_built_in_model_and_all_else_a_path() {
        for (text, location) in [
            ("tiny", ModelLocation::BuiltIn),
            ("./tiny", ModelLocation::Path("./tiny".into())),
            ("/srv/models/turbo", ModelLocation::Path("/srv/models/turbo".into())),
            ("", ModelLocation::Path(PathBuf::new())),
        ] {
            assert_eq!(text.parse(), Ok(location.clone()));
            assert_eq!(location.to_string(), text);
        }
    }
}
