//! Finding of `zimg doctor` about the checkpoint: it exists, and its files are sound. Headers are
//! checked, no tensor is read, and no libtorch is needed.

use std::path::Path;

use zimage_checkpoint::{Checkpoint, Error, Inventory, ModelFiles, ModelLocation};

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

/// Checks the configured model with the parts that are `named` by themselves. `loaded`: a daemon has
/// loaded it, so that daemon can read it.
pub(super) fn look(
    model: Option<&str>,
    named: &ModelFiles,
    scope: DaemonScope,
    loaded: bool,
) -> CheckpointFinding {
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
    match verify(folder, named) {
        Ok(inventory) => {
            let (files, bytes) = (inventory.files(), format::bytes(inventory.bytes()));
            let what = described(&inventory);
            let text = format!("{at}: {files} files of weights, {bytes}, are whole: {what}");
            let finding = Finding::ok(TOPIC, text);
            CheckpointFinding { finding, bytes: Some(inventory.parameters().saturating_mul(2)) }
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
pub(super) fn is_about(model: Option<&str>, named: &ModelFiles, sentence: &str) -> bool {
    let location = model.and_then(|text| text.parse().ok());
    let Some(ModelLocation::Path(folder)) = location else { return false };
    verify(&folder, named).is_err_and(|error| error.to_string() == sentence)
}

/// Verifies the model in `folder` with the parts that are named by themselves.
fn verify(folder: &Path, named: &ModelFiles) -> Result<Inventory, Error> {
    let files = ModelFiles { model: folder.to_owned(), ..named.clone() };
    Checkpoint::open_files(&files)?.verify()
}

/// Layout, kind and number formats, and what is to be known.
fn described(inventory: &Inventory) -> String {
    let mut parts = vec![inventory.layout.to_string(), inventory.kind.to_string()];
    parts.extend(inventory.components.iter().map(|component| {
        let formats: Vec<&str> = component.formats.iter().map(|(name, _)| &**name).collect();
        let bytes = format::bytes(component.bytes);
        format!("{} {bytes} as {}", component.component, formats.join(", "))
    }));
    let memory = format::bytes(inventory.parameters().saturating_mul(2));
    parts.push(format!("{memory} as bfloat16"));
    parts.extend(inventory.remarks.iter().cloned());
    parts.join("; ")
}

/// The remedy for a fault.
fn fix(error: &Error) -> String {
    match error {
        Error::NoFolder { .. } | Error::NotACheckpoint { .. } => error
            .hint()
            .unwrap_or("set `model` to a folder or file of Z-Image, or to \"tiny\"".into())
            .into_owned(),
        Error::Io { .. } => "check the disk: see `dmesg`".to_owned(),
        _ => error.hint().unwrap_or(FETCH.into()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;
    use std::fs;
    use std::process::Command;

    /// A checkpoint with several files in a part.
    const PLAIN: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/plain");

    fn copy() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(PLAIN).join(".");
        let copied = Command::new("cp").arg("-r").arg(from).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        folder
    }

    /// The finding without settings for single parts, of a daemon that has not loaded the model.
    fn seen(model: Option<&str>, scope: DaemonScope) -> CheckpointFinding {
        look(model, &ModelFiles::default(), scope, false)
    }

    fn said(folder: &Path) -> String {
        let finding = seen(folder.to_str(), DaemonScope::ByHand).finding;
        assert_eq!((finding.level, finding.kind.exit_code()), (Level::Fail, 78), "{finding:?}");
        assert!(finding.fix.is_some());
        finding.text.replace(folder.to_str().unwrap(), "F")
    }

    #[test]
    fn a_whole_one_is_whole() {
        let found = seen(Some(PLAIN), DaemonScope::ByHand);
        assert_eq!(found.finding.level, Level::Ok, "{found:?}");
        assert!(found.finding.text.contains(": 6 files of weights, "), "{found:?}");
        for part in ["a diffusers folder; turbo (by the schedule's shift of 3)", "VAE ", " as BF16"]
        {
            assert!(found.finding.text.contains(part), "{part}: {found:?}");
        }
        assert!(found.bytes.is_some_and(|bytes| bytes > 100_000), "{found:?}");
        assert_eq!(seen(Some("tiny"), DaemonScope::System).finding.level, Level::Ok);
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
        assert_eq!(seen(none.to_str(), DaemonScope::ByHand).finding.text, expected);
    }

    #[test]
    fn the_tokenizer_is_read() {
        let folder = copy();
        let file = "tokenizer/tokenizer.json";
        let pointer = "version https://git-lfs.github.com/spec/v1\nsize 11422654\n";
        fs::write(folder.path().join(file), pointer).unwrap();
        let pointer = "a Git LFS pointer to 11422654 bytes, and not the file itself";
        assert_eq!(said(folder.path()), format!("F/{file} is {pointer}"));
        fs::write(folder.path().join(file), "{}").unwrap();
        let sentence = format!("F/{file} is not a tokenizer of this model: ");
        assert!(said(folder.path()).starts_with(&sentence), "{}", said(folder.path()));
    }

    #[test]
    fn the_system_service_does_not_see_homes() {
        let home = "/home/u/models/turbo";
        let text = seen(Some(home), DaemonScope::System).finding.text;
        assert!(text.contains("does not see home folders"), "{text}");
        let own = seen(Some(home), DaemonScope::User).finding.text;
        assert_eq!(own, format!("the checkpoint folder {home} does not exist"));
    }
}
