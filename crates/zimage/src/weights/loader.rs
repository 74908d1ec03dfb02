//! The loader: fills the arenas of all components from files, or takes arenas that an earlier
//! process filled.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use tch::Device;
use zimage_checkpoint::Checkpoint;
use zimage_cuda::{Expander, Int8Maker};

use super::arena::Arena;
use super::reader::{self, Read};
use super::retained::{ComponentManifest, Identity, Manifest, WeightDescriptors, checksum};
use crate::error::{Error, Result};

/// How much of the weights has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read, or skipped.
    pub done: u64,
    /// All bytes.
    pub total: u64,
}

/// The loader of a model's weights.
#[derive(Debug)]
pub struct Loader {
    source: Source,
    /// In the order in which they were added.
    components: Vec<LoadedComponent>,
    /// How many of `components` are complete: their bytes are there, and what they should be.
    complete: usize,
    /// The identity of the model and the device, if the weights can be retained.
    identity: Option<Identity>,
}

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    Files(Files),
    /// Retained components that have not been taken yet.
    Retained(VecDeque<(ComponentManifest, OwnedFd)>),
}

/// Reads from files.
#[derive(Debug, Default)]
struct Files {
    pending: Vec<Read>,
    /// Bytes that were read or skipped.
    done: u64,
    skipped: u64,
    /// The GPU that expands quantised weights, if there are any.
    expands_on: Option<usize>,
    /// The GPU that makes 8-bit integers, if any are made.
    makes_int8_on: Option<usize>,
}

/// A component's memory.
#[derive(Debug)]
struct LoadedComponent {
    arena: Arena,
    manifest: ComponentManifest,
    /// The manifest of the earlier process, if the arena is retained.
    retained: Option<ComponentManifest>,
}

/// The memory of all weights: on a GPU it must be dropped after the tensors.
#[derive(Debug)]
pub struct LoadedWeights {
    components: Vec<LoadedComponent>,
    identity: Option<Identity>,
}

/// Where weights were loaded from, and their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadedFrom {
    /// Read from files.
    Files(u64),
    /// Retained from an earlier process; nothing was read.
    Retained(u64),
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl Loader {
    /// A loader from files whose weights end with the process.
    pub fn new() -> Self {
        Self::of(Source::Files(Files::default()), None)
    }

    /// A loader from files whose weights can be retained.
    ///
    /// # Errors
    /// When the GPU has no identity.
    pub fn retaining(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        let identity = Identity::new(checkpoint, device)?;
        Ok(Self::of(Source::Files(Files::default()), Some(identity)))
    }

    /// A loader of weights that an earlier process retained; it reads no files.
    ///
    /// # Errors
    /// [`Error::NotRetained`] if they are not certain to be those of the checkpoint.
    pub fn from_retained(
        checkpoint: &Checkpoint,
        device: Device,
        retained: WeightDescriptors,
    ) -> Result<Self> {
        let own = Identity::new(checkpoint, device)?;
        let (Manifest { identity, components }, memory) = retained.open()?;
        own.check(&identity)?;
        Ok(Self::of(Source::Retained(components.into_iter().zip(memory).collect()), Some(own)))
    }

    fn of(source: Source, identity: Option<Identity>) -> Self {
        Self { source, components: Vec::new(), complete: 0, identity }
    }

    /// The arena of the next component, of `bytes` bytes: a new one, or the retained one with its
    /// manifest.
    pub(super) fn arena(
        &mut self,
        device: Device,
        bytes: usize,
    ) -> Result<(Arena, Option<ComponentManifest>)> {
        let Source::Retained(components) = &mut self.source else {
            return Ok((Arena::new(device, bytes)?, None));
        };
        match components.pop_front() {
            Some((manifest, memory)) if manifest.bytes == bytes => {
                Ok((Arena::import(device, memory, bytes)?, Some(manifest)))
            }
            _ => Err(Error::NotRetained("the lengths of the components differ".to_owned())),
        }
    }

    /// Counts bytes of tensors that are skipped.
    pub(super) fn skip(&mut self, bytes: u64) {
        if let Source::Files(files) = &mut self.source {
            files.done += bytes;
            files.skipped += bytes;
        }
    }

    /// Adds a component: its arena, and what is to be read into it.
    pub(super) fn add(
        &mut self,
        (arena, retained): (Arena, Option<ComponentManifest>),
        manifest: ComponentManifest,
        mut reads: Vec<Read>,
    ) -> Result<()> {
        if let Some(retained) = &retained {
            manifest.check(retained)?;
        }
        if let Source::Files(files) = &mut self.source {
            if let (Device::Cuda(ordinal), Some(_)) =
                (arena.device(), reads.iter().find(|read| read.is_expanded_on_gpu()))
            {
                files.expands_on = Some(ordinal);
                Expander::start_compiling(ordinal);
            }
            if let (Device::Cuda(ordinal), true) =
                (arena.device(), reads.iter().any(Read::is_made_int8_on_gpu))
            {
                files.makes_int8_on = Some(ordinal);
                Int8Maker::start_compiling(ordinal);
            }
            // In the order of the file, for disks and for the kernel's read-ahead.
            reads.sort_by(|a, b| {
                (&a.file.label, a.stored.offset).cmp(&(&b.file.label, b.stored.offset))
            });
            files.pending.append(&mut reads);
        }
        self.components.push(LoadedComponent { arena, manifest, retained });
        Ok(())
    }

    /// Reads everything that was added since the last run, or checks it if it is retained; the first
    /// error ends it.
    ///
    /// `on_progress` is called on this thread some 20 times a second, and at the end, unless there
    /// is nothing to read.
    ///
    /// # Errors
    /// When a file cannot be read or has become shorter, or the GPU fails. [`Error::NotRetained`]
    /// when retained weights have changed.
    pub fn run(&mut self, on_progress: &mut dyn FnMut(Progress)) -> Result<()> {
        if let Source::Files(files) = &mut self.source {
            files.read(on_progress)?;
        }
        // Weights that end with the process need no checksum.
        let with_checksum = self.identity.is_some();
        for component in &mut self.components[self.complete..] {
            component.seal(with_checksum)?;
            self.complete += 1;
        }
        Ok(())
    }

    /// Whether every component that was added is complete.
    pub fn is_done(&self) -> bool {
        self.complete == self.components.len()
    }

    /// What is worth a line in the log: why a GPU did not expand quantised weights, or make integers.
    pub(crate) fn remark(&self) -> Option<String> {
        let Source::Files(files) = &self.source else { return None };
        if let Some(error) = files.expands_on.and_then(Expander::failure) {
            return Some(format!(
                "quantised weights are expanded by the CPU, which is slower: {error}"
            ));
        }
        let error = Int8Maker::failure(files.makes_int8_on?)?;
        Some(format!("8-bit integers are made by the CPU, which is slower: {error}"))
    }

    /// Where the weights were loaded from.
    pub fn loaded_from(&self) -> LoadedFrom {
        match &self.source {
            Source::Files(files) => LoadedFrom::Files(files.done - files.skipped),
            Source::Retained(_) => {
                let bytes = self.components.iter().map(|c| c.manifest.bytes as u64);
                LoadedFrom::Retained(bytes.sum())
            }
        }
    }

    /// The memory of the weights. It must live as long as the tensors: they do not hold a GPU's
    /// memory themselves.
    pub fn into_weights(self) -> LoadedWeights {
        LoadedWeights { components: self.components, identity: self.identity }
    }
}

impl Files {
    fn read(&mut self, on_progress: &mut dyn FnMut(Progress)) -> Result<()> {
        let before = self.done;
        let total = before + self.pending.iter().map(Read::bytes).sum::<u64>();
        let mut on_read = |read| on_progress(Progress { done: before + read, total });
        reader::read(&self.pending, &mut on_read)?;
        self.pending = Vec::new();
        self.done = total;
        on_progress(Progress { done: total, total });
        Ok(())
    }
}

impl LoadedComponent {
    /// After the last byte: makes the memory read-only, computes its checksum, and compares it with
    /// the retained one.
    fn seal(&mut self, with_checksum: bool) -> Result<()> {
        self.arena.seal();
        if with_checksum {
            self.manifest.checksum = checksum(self.arena.bytes())?;
        }
        match &self.retained {
            Some(retained) => retained.check_checksum(&self.manifest.checksum),
            None => Ok(()),
        }
    }
}

impl LoadedWeights {
    /// Checks that the memory has not changed since it was complete, if it can be retained.
    ///
    /// # Errors
    /// [`Error::NotRetained`] if it has; or when libtorch fails.
    pub fn check(&self) -> Result<()> {
        if self.identity.is_none() {
            return Ok(());
        }
        self.components.iter().try_for_each(|component| {
            component.manifest.check_checksum(&checksum(component.arena.bytes())?)
        })
    }

    /// Descriptors by which the memory outlives this process. It is read-only from then on.
    ///
    /// # Errors
    /// [`Error::NotRetained`] where memory ends with its process, and why.
    pub fn retain(&self) -> Result<WeightDescriptors> {
        let unknown = || Error::NotRetained("their checkpoint is unknown".to_owned());
        let identity = self.identity.clone().ok_or_else(unknown)?;
        let memory = self.components.iter().map(|component| component.arena.share());
        let memory = memory.collect::<Result<Vec<_>>>()?;
        let components = self.components.iter().map(|c| c.manifest.clone()).collect();
        WeightDescriptors::of(&Manifest { identity, components }, memory)
    }
}
