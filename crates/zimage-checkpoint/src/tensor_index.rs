//! The tensor index of a component: canonical tensor name → file, offset, shape and number format.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::encoding::Encoding;
use crate::error::{Error, Result};
use crate::format::{self, Header, Metadata};
use crate::source::DataFile;
use crate::stored_tensor::StoredTensor;

/// The tensors of one component. Each is taken once, or skipped; the rest are surplus.
#[derive(Debug)]
pub struct TensorIndex {
    /// What messages call the component.
    pub place: String,
    /// The files that hold the tensors.
    pub files: Vec<Arc<DataFile>>,
    /// The SHA-256 of each file's header.
    pub header_digests: Vec<String>,
    /// What each file says beside its tensors.
    pub metadata: Vec<Metadata>,
    /// By canonical name: an index into `files`, and the tensor there.
    pub tensors: BTreeMap<String, (usize, StoredTensor)>,
}

impl TensorIndex {
    /// An index without tensors.
    pub(crate) fn new(place: String) -> Self {
        Self {
            place,
            files: Vec::new(),
            header_digests: Vec::new(),
            metadata: Vec::new(),
            tensors: BTreeMap::new(),
        }
    }

    /// Adds the tensors of a file.
    pub(crate) fn add(&mut self, file: DataFile) -> Result<()> {
        let Header { tensors, metadata, digest } = format::read(&file)?;
        let number = self.files.len();
        self.files.push(Arc::new(file));
        self.header_digests.push(digest);
        self.metadata.push(metadata);
        for (name, stored) in tensors {
            self.insert(name, (number, stored))?;
        }
        Ok(())
    }

    fn insert(&mut self, name: String, place: (usize, StoredTensor)) -> Result<()> {
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

    /// Removes a prefix from the names that have it.
    pub(crate) fn strip_prefix(&mut self, prefix: &str) -> Result<()> {
        for (name, place) in std::mem::take(&mut self.tensors) {
            let name = name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
            self.insert(name, place)?;
        }
        Ok(())
    }

    /// Takes the tensor `name` of shape `shape`: an index into `files`, and the tensor there.
    ///
    /// # Errors
    /// When it is absent (or was taken before), has another shape, or a number format that is not
    /// read.
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<(usize, StoredTensor)> {
        let Some((file, stored)) = self.tensors.remove(name) else {
            return Err(Error::MissingTensor { place: self.place.clone(), name: name.to_owned() });
        };
        let label = || self.files[file].label.clone();
        if stored.shape != shape {
            return Err(Error::Shape {
                name: name.to_owned(),
                file: label(),
                found: stored.shape,
                expected: shape.to_owned(),
            });
        }
        if let Encoding::Unsupported(encoding) = stored.encoding {
            let encoding = encoding.to_owned();
            return Err(Error::Encoding { name: name.to_owned(), file: label(), encoding });
        }
        Ok((file, stored))
    }

    /// Leaves out the tensors whose names begin with `prefix`; returns their bytes.
    pub fn skip(&mut self, prefix: &str) -> u64 {
        let mut bytes = 0;
        self.tensors.retain(|name, (_, stored)| {
            let skipped = name.starts_with(prefix);
            bytes += if skipped { stored.bytes } else { 0 };
            !skipped
        });
        bytes
    }

    /// Checks that every tensor was taken or skipped.
    ///
    /// # Errors
    /// When tensors are left; it names them.
    pub fn check_empty(&self) -> Result<()> {
        if self.tensors.is_empty() {
            return Ok(());
        }
        let names = self.tensors.keys().cloned().collect();
        Err(Error::SurplusTensors { place: self.place.clone(), names })
    }
}
