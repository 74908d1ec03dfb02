//! A component's tensors, each with its place in one slab on the device; their bytes come later.
//!
//! [`Weights::take`] says which tensor lies where and what it must be, and gives a view of the
//! place where it will be. The [`Loader`] then brings all bytes at once, by many threads.

use std::fmt::{self, Write};
use std::sync::Arc;

use safetensors::tensor::Dtype;
use tch::{Device, Kind, Tensor};

use super::catalogue::Catalogue;
use super::digest;
use super::header::Located;
use super::kept::Part;
use super::loader::Loader;
use super::reading::Read;
use super::slab::{Slab, aligned};
use super::source::DataFile;
use crate::error::{Error, Result};

/// Where tensors go, and as what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The device they shall lie on.
    pub device: Device,
    /// The kind they are cast to.
    pub kind: Kind,
}

/// The tensors of one component: each must be taken or skipped.
pub struct Weights<'a> {
    place: String,
    files: Vec<Arc<DataFile>>,
    catalogue: Catalogue,
    target: Target,
    loader: &'a mut Loader,
    /// Where the tensors go, made when the first one is taken; and what is known of it if an
    /// earlier process filled it.
    slab: Option<(Slab, Option<Part>)>,
    /// How much of it is given away, and there is.
    used: usize,
    bytes: usize,
    /// What lies where in it, a line a tensor.
    layout: String,
    reads: Vec<Read>,
    skipped: u64,
}

/// A tensor found, and found to be what was asked for.
struct Found {
    name: String,
    file: usize,
    located: Located,
    kind: Kind,
}

impl<'a> Weights<'a> {
    pub(super) fn new(mut catalogue: Catalogue, target: Target, loader: &'a mut Loader) -> Self {
        Self {
            place: std::mem::take(&mut catalogue.place),
            files: catalogue.files.drain(..).map(Arc::new).collect(),
            catalogue,
            target,
            loader,
            slab: None,
            used: 0,
            bytes: 0,
            layout: String::new(),
            reads: Vec::new(),
            skipped: 0,
        }
    }

    /// The device that tensors are brought to.
    pub fn device(&self) -> Device {
        self.target.device
    }

    /// The kind that tensors are cast to.
    pub fn kind(&self) -> Kind {
        self.target.kind
    }

    /// Whether there is such a tensor, not yet taken nor skipped.
    pub fn has(&self, name: &str) -> bool {
        self.catalogue.tensors.contains_key(name)
    }
}

impl Weights<'_> {
    /// The tensor `name`, of the shape `shape`, on the target's device and of its kind.
    ///
    /// Its numbers mean nothing until the loader has run. On a GPU its memory is the loader's,
    /// see [`Loader::into_memory`].
    ///
    /// # Errors
    /// When it is not there (or was taken before), has another shape, holds anything but float32,
    /// bfloat16 or float16, or the device has no room; nothing is allocated before that is checked.
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let found = self.find(name, shape)?;
        self.settle(&[found], shape)
    }

    /// Several tensors as one, one after the other in their first dimension: each with its name and
    /// its size there. `rest` is their other dimensions.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub fn take_joined<S: AsRef<str>>(
        &mut self,
        parts: &[(S, i64)],
        rest: &[i64],
    ) -> Result<Tensor> {
        let shape = |rows: i64| [&[rows], rest].concat();
        let found = parts.iter().map(|(name, rows)| self.find(name.as_ref(), &shape(*rows)));
        let found = found.collect::<Result<Vec<_>>>()?;
        self.settle(&found, &shape(parts.iter().map(|(_, rows)| rows).sum()))
    }

    /// Leaves out the tensors whose names begin with `prefix`; there may be none.
    pub fn skip(&mut self, prefix: &str) {
        self.catalogue.tensors.retain(|name, (_, located)| {
            let skipped = name.starts_with(prefix);
            self.skipped += if skipped { located.bytes } else { 0 };
            !skipped
        });
    }

    /// Hands to the loader what is to be read.
    ///
    /// # Errors
    /// When tensors are left that were neither taken nor skipped; it names them.
    /// [`Error::NotKept`] when kept weights are others, or lie otherwise.
    pub fn finish(self) -> Result<()> {
        let names: Vec<String> = self.catalogue.tensors.into_keys().collect();
        if !names.is_empty() {
            return Err(Error::SurplusTensors { place: self.place, names });
        }
        self.loader.skip(self.skipped);
        let Some(slab) = self.slab else { return Ok(()) };
        let part = Part {
            files: self.files.iter().map(|file| file.stamp.clone()).collect(),
            headers: self.catalogue.headers,
            layout: digest::of(self.layout.as_bytes()),
            bytes: self.bytes,
            sum: String::new(),
        };
        self.loader.add(slab, part, self.reads)
    }

    fn find(&mut self, name: &str, shape: &[i64]) -> Result<Found> {
        let Some((file, located)) = self.catalogue.tensors.remove(name) else {
            return Err(Error::MissingTensor { place: self.place.clone(), name: name.to_owned() });
        };
        let label = &self.files[file].label;
        if located.shape != shape {
            return Err(Error::Shape {
                name: name.to_owned(),
                file: label.clone(),
                found: located.shape,
                expected: shape.to_owned(),
            });
        }
        match kind_of(located.dtype) {
            Some(kind) => Ok(Found { name: name.to_owned(), file, located, kind }),
            None => Err(Error::Dtype {
                name: name.to_owned(),
                file: label.clone(),
                dtype: located.dtype.to_string(),
            }),
        }
    }

    /// Gives the tensors the next place in the slab, and views it as one of this shape.
    fn settle(&mut self, found: &[Found], shape: &[i64]) -> Result<Tensor> {
        let width = self.target.kind.elt_size_in_bytes();
        let bytes = |located: &Located, kind: Kind| {
            located.bytes as usize / kind.elt_size_in_bytes() * width
        };
        let slab = match self.slab.take() {
            Some(slab) => slab,
            None => {
                let left = self.catalogue.tensors.values();
                let left = left.filter_map(|(_, l)| Some(aligned(bytes(l, kind_of(l.dtype)?))));
                let taken = found.iter().map(|f| aligned(bytes(&f.located, f.kind)));
                self.bytes = aligned(left.chain(taken).sum::<usize>().max(1));
                self.loader.memory(self.target.device, self.bytes)?
            }
        };
        let (slab, _) = self.slab.insert(slab);
        let begin = self.used;
        let mut end = begin;
        for Found { name, file, located, kind } in found {
            // Writing to a string cannot fail.
            let _ =
                writeln!(self.layout, "{end} {:?} {:?} {name}", self.target.kind, located.shape);
            self.reads.push(Read {
                file: Arc::clone(&self.files[*file]),
                offset: located.offset,
                numbers: located.bytes as usize / kind.elt_size_in_bytes(),
                from: *kind,
                to: self.target.kind,
                place: slab.place(end),
            });
            end += bytes(located, *kind);
        }
        self.used = aligned(end);
        slab.view(begin, end - begin, self.target.kind, shape)
    }
}

impl fmt::Debug for Weights<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("catalogue", &self.catalogue)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F16 => Some(Kind::Half),
        _ => None,
    }
}
