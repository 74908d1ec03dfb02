//! The checkpoint: is it there, and are its files whole? Headers are compared with the files'
//! lengths; no tensor is read, and no libtorch is needed.
//!
//! Source: the layout is diffusers' (`model_index.json`, a folder for each part, an index where a
//! part has several files); the files' format is that of the safetensors crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::{DaemonScope, Finding};
use crate::format;

const TOPIC: &str = "model";
/// The parts with weights, and what their files are called.
const PARTS: [(&str, &str); 3] = [
    ("transformer", "diffusion_pytorch_model"),
    ("text_encoder", "model"),
    ("vae", "diffusion_pytorch_model"),
];
/// Other files that are needed.
const FILES: [&str; 6] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer.json",
    "transformer/config.json",
    "text_encoder/config.json",
    "vae/config.json",
];
/// No header is longer; what claims to be is damaged.
const HEADER_LIMIT: u64 = 16 << 20;
/// No index is longer.
const INDEX_LIMIT: u64 = 16 << 20;
/// Where the system's service sees nothing.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];
const FETCH: &str = "fetch it anew: the file was not copied or downloaded to its end";

/// What was found.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) finding: Finding,
    /// Bytes of its weights in 16 bits each, if they are whole.
    pub(super) bytes: Option<u64>,
}

impl From<Finding> for Checkpoint {
    fn from(finding: Finding) -> Self {
        Self { finding, bytes: None }
    }
}

/// Looks at the folder that is set. `loaded`: a daemon has it in use, so it is well for that one.
pub(super) fn look(model: Option<&str>, scope: DaemonScope, loaded: bool) -> Checkpoint {
    let folder = match model {
        None => return Finding::warn(TOPIC, "it is not known which is set", "see zimaged").into(),
        Some("tiny") => return Finding::ok(TOPIC, "tiny, the built-in one").into(),
        Some(folder) => Path::new(folder),
    };
    let at = folder.display();
    if scope == DaemonScope::System && !loaded && HIDDEN.iter().any(|h| folder.starts_with(h)) {
        let text = format!("{at}: the system's service does not see home folders");
        let fix = "move it to /srv/models, or `systemctl edit zimaged` with BindReadOnlyPaths=";
        return Finding::wrong(TOPIC, text, fix).into();
    }
    match read(folder) {
        Ok(Whole { files, bytes, parameters }) => {
            let text =
                format!("{at}: {files} files of weights, {}, are whole", format::bytes(bytes));
            let finding = Finding::ok(TOPIC, text);
            Checkpoint { finding, bytes: Some(parameters.saturating_mul(2)) }
        }
        Err(Trouble::Forbidden) if loaded => {
            Finding::ok(TOPIC, format!("{at}: not yours to look into, but it is loaded")).into()
        }
        Err(Trouble::Forbidden) => {
            let text = format!("{at}: you may not look into it");
            Finding::warn(TOPIC, text, "`sudo zimg doctor` may, and so must the service's user")
                .into()
        }
        Err(Trouble::Wrong { text, fix }) => Finding::wrong(TOPIC, text, fix).into(),
    }
}

/// A checkpoint without a fault.
#[derive(Debug, Default, PartialEq, Eq)]
struct Whole {
    files: usize,
    bytes: u64,
    parameters: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    Forbidden,
    Wrong { text: String, fix: String },
}

fn wrong(text: String, fix: &str) -> Trouble {
    Trouble::Wrong { text, fix: fix.to_owned() }
}

/// What an error of a file's means.
fn failed(path: &Path, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Trouble::Forbidden,
        io::ErrorKind::NotFound => {
            wrong(format!("{} is missing", path.display()), "fetch it: the folder is not complete")
        }
        _ => wrong(format!("{}: {error}", path.display()), "is the disk well? See `dmesg`"),
    }
}

fn read(folder: &Path) -> Result<Whole, Trouble> {
    if let Err(error) = fs::read_dir(folder) {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Err(Trouble::Forbidden);
        }
        let text = format!("{}: {error}", folder.display());
        return Err(wrong(text, "set `model` to a folder in the diffusers layout, or to \"tiny\""));
    }
    for file in FILES {
        let path = folder.join(file);
        fs::metadata(&path).map_err(|error| failed(&path, &error))?;
    }
    let mut whole = Whole::default();
    for (part, stem) in PARTS {
        for (file, tensors) in files(&folder.join(part), stem)? {
            let path = folder.join(part).join(file);
            whole.add(&path, tensors)?;
        }
    }
    Ok(whole)
}

/// The files of a part, with the tensors that the index, if there is one, says they have.
fn files(folder: &Path, stem: &str) -> Result<BTreeMap<String, BTreeSet<String>>, Trouble> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let single = format!("{stem}.safetensors");
    let path = folder.join(format!("{single}.index.json"));
    if !path.exists() {
        return Ok(BTreeMap::from([(single, BTreeSet::new())]));
    }
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(INDEX_LIMIT).read_to_end(&mut text));
    read.map_err(|error| failed(&path, &error))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("{} is damaged ({error})", path.display()), FETCH))?;
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (tensor, file) in index.weight_map {
        // A name of a file beside it; zimage-worker says more about others.
        files.entry(file).or_default().insert(tensor);
    }
    Ok(files)
}

impl Whole {
    /// Adds a file, if its header is sound, its length is as the header has it, and the tensors
    /// are there.
    fn add(&mut self, path: &Path, tensors: BTreeSet<String>) -> Result<(), Trouble> {
        let io = |error: &io::Error| failed(path, error);
        let damaged = |what: String| wrong(format!("{} {what}", path.display()), FETCH);
        let mut file = File::open(path).map_err(|error| io(&error))?;
        let length = file.metadata().map_err(|error| io(&error))?.len();
        let mut prefix = [0; 8];
        file.read_exact(&mut prefix).map_err(|_| damaged(format!("has only {length} bytes")))?;
        let header = u64::from_le_bytes(prefix);
        if header > HEADER_LIMIT.min(length.saturating_sub(8)) {
            return Err(damaged(format!("claims a header of {header} bytes and has {length}")));
        }
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(|error| io(&error))?;
        let metadata: Metadata = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("has a damaged header ({error})")))?;
        let expected = 8 + header + metadata.data_len() as u64;
        if expected != length {
            return Err(damaged(format!("has {length} bytes instead of {expected}")));
        }
        let found = metadata.tensors();
        if let Some(missing) = tensors.iter().find(|name| !found.contains_key(*name)) {
            return Err(damaged(format!("lacks the tensor {missing}")));
        }
        let sizes = found.values().map(|info| info.shape.iter().product::<usize>() as u64);
        self.parameters += sizes.sum::<u64>();
        self.bytes += length;
        self.files += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
        let expected =
            format!("F/{shard} has {} bytes instead of {}", bytes.len() - 1, bytes.len());
        assert_eq!(cut(&bytes[..bytes.len() - 1]), expected);
        assert_eq!(cut(&bytes[..5]), format!("F/{shard} has only 5 bytes"));
        assert!(cut(&bytes[..100]).contains("claims a header of"));
        let mut damaged = bytes.clone();
        damaged[9] = b'?';
        assert!(cut(&damaged).contains("has a damaged header"));
        fs::remove_file(&path).unwrap();
        assert_eq!(said(folder.path()), format!("F/{shard} is missing"));
        // Another's file in its place.
        let first = shard.replace("00002", "00001");
        fs::copy(folder.path().join(first), &path).unwrap();
        assert!(said(folder.path()).contains(" lacks the tensor "));
        fs::remove_file(folder.path().join("tokenizer/tokenizer.json")).unwrap();
        assert_eq!(said(folder.path()), "F/tokenizer/tokenizer.json is missing");
        assert!(said(&folder.path().join("none")).contains("No such file"));
    }

    #[test]
    fn the_system_service_does_not_see_homes() {
        let home = "/home/u/models/turbo";
        let text = look(Some(home), DaemonScope::System, false).finding.text;
        assert!(text.contains("does not see home folders"), "{text}");
        let own = look(Some(home), DaemonScope::User, false).finding.text;
        assert!(own.contains("No such file"), "{own}");
    }
}
