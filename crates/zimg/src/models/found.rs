//! What a candidate is: a checkpoint that the daemon takes, a faulty one, or another model.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use zimage_checkpoint::{Checkpoint, Error, Inventory, LayoutKind};

use super::Place;
use super::candidates::{Candidate, candidates};

/// Words in names of checkpoints of this model.
const OURS: [&str; 3] = ["z-image", "z_image", "zimage"];
/// The pipeline in `model_index.json`.
const PIPELINE: &str = "ZImage";
/// A `model_index.json` has some hundred bytes.
const INDEX_MAX: u64 = 1 << 20;

/// Whether the daemon takes a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModelState {
    Usable,
    /// A file of this model alone; other components have to be named with it.
    Partial(String),
    /// It is one of this model, with a fault.
    Faulty(String),
    /// It seems to be another model.
    Other(String),
}

/// A checkpoint on this machine.
#[derive(Clone, Debug)]
pub(crate) struct FoundModel {
    /// What `--model` is given.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The form of its files.
    pub(crate) layout: &'static str,
    /// Turbo or the base model, if it opens.
    pub(crate) kind: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) state: ModelState,
}

/// The checkpoints of these places, each once.
pub(crate) fn find(places: &[Place]) -> Vec<FoundModel> {
    let mut found: Vec<FoundModel> = Vec::new();
    for place in places {
        for candidate in candidates(&place.folder) {
            let is_known = found.iter().any(|model| is_same(&model.path, &candidate.path));
            if !is_known {
                found.push(examined(place, candidate));
            }
        }
    }
    found
}

/// Whether both paths lead to one file or folder.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn examined(place: &Place, Candidate { path, bytes }: Candidate) -> FoundModel {
    let is_folder = path.is_dir();
    let verified = Checkpoint::open(&path).and_then(|checkpoint| checkpoint.verify());
    let (state, kind) = match &verified {
        Ok(inventory) => (ModelState::Usable, Some(inventory.kind.kind.to_string())),
        Err(error) => {
            // The path is in the row already.
            let folder = if is_folder { Some(path.as_path()) } else { path.parent() };
            let prefix = folder.map(|folder| format!("{}/", folder.display())).unwrap_or_default();
            let why = error.to_string().replace(&prefix, "");
            let state = match error {
                Error::MissingComponent { .. } => ModelState::Partial(why),
                _ if is_ours(place, &path) => ModelState::Faulty(why),
                _ => ModelState::Other(why),
            };
            (state, None)
        }
    };
    let name = match &place.repository {
        // The name of a repository is enough where the daemon looks it up to the same files.
        Some(name) if place.is_main && path == place.folder && opens(name) => name.clone(),
        _ => path.display().to_string(),
    };
    let layout = layout(&path, verified.as_ref().ok());
    FoundModel { name, path, layout, kind, bytes, state }
}

/// The form of a candidate's files.
fn layout(path: &Path, inventory: Option<&Inventory>) -> &'static str {
    if path.is_dir() {
        return "diffusers";
    }
    if inventory.is_some_and(|inventory| inventory.layout == LayoutKind::AllInOne) {
        return "all-in-one";
    }
    let mut magic = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    if read.is_ok() && magic == *b"GGUF" { "gguf" } else { "file" }
}

fn opens(repository: &str) -> bool {
    Checkpoint::open(Path::new(repository)).is_ok()
}

/// Whether a checkpoint that does not open is one of this model, by what it calls itself.
fn is_ours(place: &Place, path: &Path) -> bool {
    let index = path.join("model_index.json");
    let is_short = fs::metadata(&index).is_ok_and(|found| found.len() <= INDEX_MAX);
    if is_short && fs::read_to_string(&index).is_ok_and(|text| text.contains(PIPELINE)) {
        return true;
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names = [name, place.repository.clone()];
    names.into_iter().flatten().any(|name| {
        let name = name.to_ascii_lowercase();
        OURS.iter().any(|ours| name.contains(ours))
    })
}
