//! Finding of `zimg doctor` about the checkpoint: it exists, and its files are sound. Headers are
//! checked, no tensor is read, and no libtorch is needed.

use zimage_checkpoint::{Checkpoint, Error, ModelLocation, Summary};

use super::{DaemonScope, Finding};
use crate::format;

const TOPIC: &str = "model";
/// Folders that the system's service cannot see.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];
/// The remedy for a fault of a file.
const FETCH: &str = "fetch it again: the file was not copied or downloaded completely";

/// The finding, and the size of the weights.
#[derive(Debug)]
pub(super) struct CheckpointFinding {
    pub(super) finding: Finding,
    /// Bytes of the weights at 16 bits a parameter, if the files are sound.
    pub(super) bytes: Option<u64>,
}

impl From<Finding> for CheckpointFinding {
    fn from(finding: Finding) -> Self {
        Self { finding, bytes: None }
    }
}

/// Checks the configured model. `loaded`: a daemon has loaded it, so that daemon can read it.
pub(super) fn look(model: Option<&str>, scope: DaemonScope, loaded: bool) -> CheckpointFinding {
    let location = model.map(|text| text.parse().unwrap_or_default());
    let folder = match &location {
        None => return Finding::warn(TOPIC, "it is not known which is set", "see zimaged").into(),
        Some(ModelLocation::BuiltIn) => {
            return Finding::ok(TOPIC, "tiny, the built-in one").into();
        }
        Some(ModelLocation::Path(folder)) => folder,
    };
    let at = folder.display();
    if scope == DaemonScope::System && !loaded && HIDDEN.iter().any(|h| folder.starts_with(h)) {
        let text = format!("{at}: the system's service does not see home folders");
        let fix = "move it to /srv/models, or `systemctl edit zimaged` with BindReadOnlyPaths=";
        return Finding::wrong(TOPIC, text, fix).into();
    }
    match Checkpoint::open(folder).and_then(|checkpoint| checkpoint.verify()) {
        Ok(Summary { files, bytes, parameters }) => {
            let text =
                format!("{at}: {files} files of weights, {}, are whole", format::bytes(bytes));
            let finding = Finding::ok(TOPIC, text);
            CheckpointFinding { finding, bytes: Some(parameters.saturating_mul(2)) }
        }
        Err(error) if error.is_permission_denied() && loaded => {
            Finding::ok(TOPIC, format!("{at}: permission denied, but it is loaded")).into()
        }
        Err(error) if error.is_permission_denied() => {
            let text = format!("{at}: permission denied");
            Finding::warn(
                TOPIC,
                text,
                "use `sudo zimg doctor`; the service's user needs to read it",
            )
            .into()
        }
        Err(error) => Finding::wrong(TOPIC, error.to_string(), fix(&error)).into(),
    }
}

/// Whether `sentence` is about the model's files: `zimaged --check` verifies them, too.
pub(super) fn is_about(model: Option<&str>, sentence: &str) -> bool {
    let Some(ModelLocation::Path(folder)) = model.and_then(|text| text.parse().ok()) else {
        return false;
    };
    let verified = Checkpoint::open(&folder).and_then(|checkpoint| checkpoint.verify());
    verified.is_err_and(|error| error.to_string() == sentence)
}

/// The remedy for a fault.
fn fix(error: &Error) -> String {
    match error {
        Error::NoFolder { .. } | Error::NotACheckpoint { .. } => error
            .hint()
            .unwrap_or("set `model` to a folder in the diffusers layout, or to \"tiny\"")
            .to_owned(),
        Error::Io { .. } => "check the disk: see `dmesg`".to_owned(),
        _ => error.hint().unwrap_or(FETCH).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::doctor::finding::Level;

    /// A checkpoint with several files in a part.
    const PLAIN: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/plain");

    fn copy() -> tempfile::TempDir {
        fn into(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                let target = to.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    into(&entry.path(), &target);
                } else {
                    fs::copy(entry.path(), target).unwrap();
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        into(Path::new(PLAIN), folder.path());
        folder
    }

    fn said(folder: &Path) -> String {
        let finding = look(folder.to_str(), DaemonScope::ByHand, false).finding;
        assert_eq!((finding.level, finding.kind.exit_code()), (Level::Fail, 78), "{finding:?}");
        assert!(finding.fix.is_some());
        finding.text.replace(folder.to_str().unwrap(), "F")
    }

    #[test]
    fn a_whole_one_is_whole() {
        let found = look(Some(PLAIN), DaemonScope::ByHand, false);
        assert_eq!(found.finding.level, Level::Ok, "{found:?}");
        assert!(found.finding.text.contains(": 6 files of weights, "), "{found:?}");
        assert!(found.bytes.is_some_and(|bytes| bytes > 100_000), "{found:?}");
        assert_eq!(look(Some("tiny"), DaemonScope::System, false).finding.level, Level::Ok);
    }

    #[test]
    fn what_is_missing_or_cut_is_named() {
        let folder = copy();
        let shard = "transformer/diffusion_pytorch_model-00002-of-00004.safetensors";
        let path = folder.path().join(shard);
        let bytes = fs::read(&path).unwrap();
        let cut = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            said(folder.path())
        };
        let (whole, part) = (bytes.len(), bytes.len() - 1);
        let expected =
            format!("F/{shard} is cut short: it should have {whole} bytes and has {part}");
        assert_eq!(cut(&bytes[..part]), expected);
        let invalid = format!("F/{shard} is not a valid safetensors file: ");
        assert_eq!(cut(&bytes[..5]), format!("{invalid}it has only 5 bytes"));
        assert!(cut(&bytes[..100]).starts_with(&format!("{invalid}its header claims ")));
        let mut damaged = bytes.clone();
        damaged[9] = b'?';
        assert!(cut(&damaged).starts_with(&format!("{invalid}its header is damaged (")));
        fs::remove_file(&path).unwrap();
        assert_eq!(said(folder.path()), format!("F/{shard} is missing"));
        // Another's file in its place.
        let first = shard.replace("00002", "00001");
        fs::copy(folder.path().join(first), &path).unwrap();
        assert!(said(folder.path()).contains(" is in F/"), "{}", said(folder.path()));
        fs::remove_file(folder.path().join("tokenizer/tokenizer.json")).unwrap();
        assert_eq!(said(folder.path()), "F/tokenizer/tokenizer.json is missing");
        let none = folder.path().join("none");
        let expected = format!("the checkpoint folder {} does not exist", none.display());
        assert_eq!(look(none.to_str(), DaemonScope::ByHand, false).finding.text, expected);
    }

    #[test]
    fn the_system_service_does_not_see_homes() {
        let home = "/home/u/models/turbo";
        let text = look(Some(home), DaemonScope::System, false).finding.text;
        assert!(text.contains("does not see home folders"), "{text}");
        let own = look(Some(home), DaemonScope::User, false).finding.text;
        assert_eq!(own, format!("the checkpoint folder {home} does not exist"));
    }
}
