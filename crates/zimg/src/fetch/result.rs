//! A checkpoint that is in the cache: its paths, and how the daemon is told of it.

use std::io::{self, Write};
use std::path::PathBuf;

use zimg_text::shell_word;

use super::events::PullEvent;
use crate::exit::Exit;
use crate::json;

/// The paths of a checkpoint's parts.
#[derive(Clone, Debug)]
pub(crate) struct PulledModel {
    /// A folder in diffusers' layout, or a file.
    pub(crate) model: PathBuf,
    pub(crate) text_encoder: Option<PathBuf>,
    pub(crate) vae: Option<PathBuf>,
    pub(crate) bytes: u64,
}

impl PulledModel {
    /// The daemon's command line.
    pub(crate) fn command(&self) -> String {
        let parts = [("--text-encoder", &self.text_encoder), ("--vae", &self.vae)];
        let model = format!("zimaged --model {}", shell_word(&self.model));
        parts.into_iter().fold(model, |command, (option, path)| match path {
            Some(path) => format!("{command} {option} {}", shell_word(path)),
            None => command,
        })
    }

    /// Prints the path of the model on standard output.
    ///
    /// # Errors
    ///
    /// Standard output is closed or full.
    pub(crate) fn print(&self, json: bool) -> Result<(), Exit> {
        let path = self.model.display().to_string();
        if !json {
            return writeln!(io::stdout().lock(), "{path}").map_err(|error| Exit::stdout(&error));
        }
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        json::print(&PullEvent::Pulled {
            path,
            model: self.command(),
            text_encoder: text(&self.text_encoder),
            vae: text(&self.vae),
            bytes: self.bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_is_given_what_is_there() {
        let folder = PulledModel {
            model: "/c/models--a--b/snapshots/0".into(),
            text_encoder: None,
            vae: None,
            bytes: 1,
        };
        assert_eq!(folder.command(), "zimaged --model /c/models--a--b/snapshots/0");
        let split = PulledModel {
            model: "/my models/t.gguf".into(),
            text_encoder: Some("/c/e.safetensors".into()),
            vae: Some("/c/ae.safetensors".into()),
            ..folder
        };
        let expected = "zimaged --model '/my models/t.gguf' --text-encoder /c/e.safetensors \
                        --vae /c/ae.safetensors";
        assert_eq!(split.command(), expected);
    }
}
