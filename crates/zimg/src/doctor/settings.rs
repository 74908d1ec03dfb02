//! The daemon's configuration as `zimaged --check` prints it; for a running daemon with its own
//! options and environment, if they can be read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use zimage_checkpoint::ModelFiles;

use super::program::{Said, ask};
use super::{DaemonScope, Finding, checkpoint};

/// The state directory of the system's service.
const SYSTEM_STATE: &str = "/var/lib/zimaged";

/// The configuration, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct DaemonSettings(toml::Table);

impl DaemonSettings {
    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        Some(self.0.get(key)?.as_str()?.to_owned())
    }

    /// The parts of the model that are named by themselves.
    pub(super) fn named_files(&self) -> ModelFiles {
        let path = |key: &str| self.text(key).map(PathBuf::from);
        ModelFiles {
            model: PathBuf::new(),
            text_encoder: path("text_encoder"),
            vae: path("vae"),
            tokenizer: path("tokenizer"),
            kind: self.text("model_kind").and_then(|kind| kind.parse().ok()),
        }
    }

    /// Pixels of the largest size that is warmed up; none where no size is named.
    pub(super) fn pixels(&self) -> Option<u64> {
        let sizes = self.0.get("warmup")?.as_array()?.iter().filter_map(|size| size.as_str());
        let pixels = |size: &str| {
            let (width, height) = size.split_once('x')?;
            Some(width.parse::<u64>().ok()? * height.parse::<u64>().ok()?)
        };
        sizes.filter_map(pixels).max()
    }

    /// The number of a key.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_integer()?.try_into().ok()
    }
}

/// The process of a running daemon, visible to its owner and to root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// The file of its program.
    pub(super) program: PathBuf,
    /// Whether the file has been replaced or removed since the start.
    pub(super) replaced: bool,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
}

impl Running {
    /// The process with this id, if it is visible.
    pub(super) fn find(pid: u32) -> Option<Self> {
        let words = |name: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
            let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            Some(words.map(|word| OsString::from_vec(word.to_vec())).collect::<Vec<_>>())
        };
        let link = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let shown = link.display().to_string();
        let (program, replaced) = match shown.strip_suffix(" (deleted)") {
            Some(path) => (PathBuf::from(path), true),
            None => (link, false),
        };
        let pair = |word: OsString| {
            let bytes = word.into_vec();
            let end = bytes.iter().position(|byte| *byte == b'=')?;
            let value = OsString::from_vec(bytes[end + 1..].to_vec());
            Some((OsString::from_vec(bytes[..end].to_vec()), value))
        };
        let environment = words("environ")?.into_iter().filter_map(pair).collect();
        let arguments = words("cmdline")?.into_iter().skip(1).collect();
        Some(Self { program, replaced, arguments, environment })
    }

    /// The value of a variable of its environment.
    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.get(&OsString::from(name))
    }
}

/// Asks `zimaged --check` for the configuration of the running daemon, or of one that would be
/// started.
pub(super) fn look(
    zimaged: &Path,
    scope: DaemonScope,
    running: Option<&Running>,
) -> (Finding, DaemonSettings) {
    let mut command = Command::new(zimaged);
    match (running, scope) {
        (Some(running), _) => {
            command.args(&running.arguments).env_clear().envs(&running.environment);
        }
        // The environment of the service manager, without the user's own settings.
        (None, DaemonScope::System) => {
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("ZIMAGED_") {
                    command.env_remove(name);
                }
            }
            command.env_remove("XDG_CONFIG_HOME").env("HOME", "/");
            command.env("STATE_DIRECTORY", SYSTEM_STATE);
        }
        (None, DaemonScope::User | DaemonScope::ByHand) => {}
    }
    match ask(command.arg("--check")) {
        Ok(said) => understood(&said),
        Err(why) => {
            (Finding::fail("settings", why, "install zimaged again"), DaemonSettings::default())
        }
    }
}

fn understood(said: &Said) -> (Finding, DaemonSettings) {
    let settings = DaemonSettings(said.out.parse().unwrap_or_default());
    let first = said.out.lines().next().unwrap_or_default();
    if !said.well {
        let line = |beginning: &str| said.err.lines().find_map(|line| line.strip_prefix(beginning));
        let text = line("zimaged: ").map_or_else(|| said.complaint(), str::to_owned);
        let model = settings.text("model");
        if checkpoint::is_about(model.as_deref(), &settings.named_files(), &text) {
            return (Finding::ok("settings", source(first)), settings);
        }
        let fix = line("hint: ").unwrap_or("correct it; `zimaged --check` tries the settings");
        return (Finding::wrong("settings", text, fix), settings);
    }
    (Finding::ok("settings", source(first)), settings)
}

/// The file that the settings were read from, by the first line of `zimaged --check`.
fn source(first: &str) -> String {
    first.strip_prefix("# read from ").unwrap_or("no configuration file").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn what_check_says_is_understood() {
        let out =
            "# read from /etc/zimaged/zimaged.toml\nmodel = \"/m\"\njobs = 64\nplain = false\n";
        let said = Said { well: true, out: out.to_owned(), err: String::new() };
        let (finding, settings) = understood(&said);
        assert_eq!(finding, Finding::ok("settings", "/etc/zimaged/zimaged.toml"));
        assert_eq!(settings.text("model").as_deref(), Some("/m"));
        assert_eq!((settings.number("jobs"), settings.number("model")), (Some(64), None));
        assert_eq!(settings.pixels(), None);
        let sizes = DaemonSettings("warmup = ['512x512', '1024x768']".parse().unwrap());
        assert_eq!(sizes.pixels(), Some(1024 * 768));
    }

    #[test]
    fn what_is_wrong_is_said_in_its_own_words() {
        let err = "zimaged: /z.toml: line 1: unknown field `modle`\nhint: do that\n".to_owned();
        let (finding, _) = understood(&Said { well: false, out: String::new(), err });
        assert_eq!((finding.level, finding.kind.exit_code()), (Level::Fail, 78));
        assert_eq!(finding.text, "/z.toml: line 1: unknown field `modle`");
        assert_eq!(finding.fix.as_deref(), Some("do that"));
        let err = "error: unexpected argument '--check' found".to_owned();
        let (finding, _) = understood(&Said { well: false, out: String::new(), err: err.clone() });
        assert_eq!(finding.text, err);
    }

    #[test]
    fn a_process_of_ones_own_can_be_looked_into() {
        let own = Running::find(std::process::id()).unwrap();
        assert_eq!(own.program, std::env::current_exe().unwrap());
        assert!(!own.replaced);
        assert_eq!(own.variable("PATH").cloned(), std::env::var_os("PATH"));
        assert_eq!(Running::find(u32::MAX), None);
    }
}
