//! The tensor index of a component: canonical tensor name → file, offset, shape and number format.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::component::Component;
use crate::content_check::check_weights;
use crate::encoding::Encoding;
use crate::error::{Error, Result, listed};
use crate::expected_tensors::leftovers;
use crate::format::{self, Header, Metadata};
use crate::source::DataFile;
use crate::stored_tensor::StoredTensor;

/// The tensors of one component. Each is taken once, or skipped; the rest are surplus.
#[derive(Debug)]
pub struct TensorIndex {
    /// What messages call the component.
    pub place: String,
    /// Which one it is.
    pub component: Component,
    /// What is worth a line in the log.
    pub remarks: Vec<String>,
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
    pub(crate) fn new(place: String, component: Component) -> Self {
        Self {
            place,
            component,
            remarks: Vec::new(),
            files: Vec::new(),
            header_digests: Vec::new(),
            metadata: Vec::new(),
            tensors: BTreeMap::new(),
        }
    }

    /// Whether a tensor is a known leftover of another program, which the reference drops.
    pub(crate) fn is_leftover(&self, name: &str) -> bool {
        leftovers::is_leftover(self.component, name)
    }

    /// Leaves out known leftovers, and remarks on them.
    pub(crate) fn skip_leftovers(&mut self) {
        let component = self.component;
        let mut names = Vec::new();
        self.tensors.retain(|name, _| {
            let is_leftover = leftovers::is_leftover(component, name);
            if is_leftover {
                names.push(name.clone());
            }
            !is_leftover
        });
        self.remark_leftovers(&names);
    }

    /// Remarks on leftovers, if there are any.
    pub(crate) fn remark_leftovers(&mut self, names: &[String]) {
        if !names.is_empty() {
            self.remarks.push(format!(
                "{}: not read, because the model has no use for it: {}",
                self.place,
                listed(names)
            ));
        }
    }

    /// Adds a file whose header is read, without its tensors.
    pub(crate) fn add_file(&mut self, file: Arc<DataFile>, digest: String, metadata: Metadata) {
        self.files.push(file);
        self.header_digests.push(digest);
        self.metadata.push(metadata);
    }

    /// Adds the tensors of a file.
    pub(crate) fn add(&mut self, file: DataFile) -> Result<()> {
        check_weights(&file)?;
        let Header { tensors, metadata, digest } = format::read(&file)?;
        let number = self.files.len();
        self.add_file(Arc::new(file), digest, metadata);
        for (name, stored) in tensors {
            self.insert(name, (number, stored))?;
        }
        Ok(())
    }

    /// Adds a tensor.
    pub(crate) fn insert(&mut self, name: String, place: (usize, StoredTensor)) -> Result<()> {
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
        let Some((file, mut stored)) = self.tensors.remove(name) else {
            return Err(Error::MissingTensor { place: self.place.clone(), name: name.to_owned() });
        };
        let label = || self.files[file].label.clone();
        // Files differ in dimensions of 1: a pad token is a row or a vector, and ldm's attention has
        // convolutions of one pixel for matrices.
        if stored.shape != shape && without_ones(&stored.shape).eq(without_ones(shape)) {
            shape.clone_into(&mut stored.shape);
        }
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

/// Dimensions other than 1.
fn without_ones(shape: &[i64]) -> impl Iterator<Item = &i64> {
    shape.iter().filter(|side| **side != 1)
}
