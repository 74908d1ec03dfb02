//! Which tensors a component has, and where each lies: one file or several shards.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Deserialize;

use super::Component;
use super::header::{self, Header, Located};
use super::source::{DataFile, Source};
use crate::error::{Error, Result};

/// The longest list of shards that is read.
const INDEX_LIMIT: u64 = 16 << 20;

/// The tensors of one component.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// The component's folder, as messages call it.
    pub(super) place: String,
    /// The files that hold the tensors.
    pub(super) files: Vec<DataFile>,
    /// The SHA-256 of each file's header.
    pub(super) headers: Vec<String>,
    /// By name: the file's number and the place in it.
    pub(super) tensors: BTreeMap<String, (usize, Located)>,
}

/// `*.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    /// Tensor to file name.
    weight_map: BTreeMap<String, String>,
}

impl Catalogue {
    /// Reads and checks the headers of a component's files.
    pub(super) fn read(source: &Source, component: Component) -> Result<Self> {
        let folder = component.folder();
        let single = format!("{folder}/{}.safetensors", component.stem());
        let index = format!("{single}.index.json");
        let mut catalogue = Self {
            place: source.label(folder),
            files: Vec::new(),
            headers: Vec::new(),
            tensors: BTreeMap::new(),
        };
        if source.has(&index) {
            catalogue.add_shards(source, folder, &index)?;
        } else {
            catalogue.add(source.open(&single)?)?;
        }
        if component == Component::TextEncoder {
            catalogue.strip("model.")?;
        }
        Ok(catalogue)
    }

    fn add(&mut self, file: DataFile) -> Result<()> {
        let Header { tensors, digest } = header::read(&file)?;
        let number = self.files.len();
        self.files.push(file);
        self.headers.push(digest);
        for (name, located) in tensors {
            self.insert(name, (number, located))?;
        }
        Ok(())
    }

    fn insert(&mut self, name: String, place: (usize, Located)) -> Result<()> {
        match self.tensors.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(place);
                Ok(())
            }
            Entry::Occupied(entry) => Err(Error::DuplicateTensor {
                name: entry.key().clone(),
                first: self.files[entry.get().0].label.clone(),
                second: self.files[place.0].label.clone(),
            }),
        }
    }

    fn add_shards(&mut self, source: &Source, folder: &str, index: &str) -> Result<()> {
        let label = source.label(index);
        let bad = |reason: String| Error::Index { file: label.clone(), reason };
        let bytes = source.read(index, INDEX_LIMIT)?;
        let Index { weight_map } = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Json { file: label.clone(), reason: error.to_string() })?;

        let mut shards: Vec<&String> = weight_map.values().collect();
        shards.sort_unstable();
        shards.dedup();
        if shards.is_empty() {
            return Err(bad("it names no file".to_owned()));
        }
        if let Some(name) = shards.iter().find(|name| !is_plain(name)) {
            return Err(bad(format!("it names the file {name:?}, which is not in its folder")));
        }
        for shard in &shards {
            self.add(source.open(&format!("{folder}/{shard}"))?)?;
        }

        for (name, shard) in &weight_map {
            let found = self.tensors.get(name).map(|&(number, _)| shards[number]);
            if found != Some(shard) {
                return Err(bad(format!("it places the tensor {name} in {shard}, which lacks it")));
            }
        }
        // Each listed one was found in its file; so there are more only if some are not listed.
        match self.tensors.iter().find(|(name, _)| !weight_map.contains_key(*name)) {
            Some((name, &(number, _))) => {
                Err(bad(format!("it does not list the tensor {name} of {}", shards[number])))
            }
            None => Ok(()),
        }
    }

    /// Takes a prefix off the names that have it: whole language models have one, encoders none.
    fn strip(&mut self, prefix: &str) -> Result<()> {
        for (name, place) in std::mem::take(&mut self.tensors) {
            let name = name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
            self.insert(name, place)?;
        }
        Ok(())
    }
}

/// Whether it is the name of a weights file right here. It may be a link: caches have those.
fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', '\0'])
}
