//! What brings tensors their bytes: it reads them from files, or finds them in memory that an
//! earlier process left.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use tch::Device;

use super::kept::{Kept, Manifest, Origin, Part};
use super::reading::{self, Read};
use super::slab::Slab;
use super::{Checkpoint, digest};
use crate::error::{Error, Result};

/// Bytes of weights read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Read, or left out.
    pub done: u64,
    /// There are.
    pub total: u64,
}

/// What is to be read, and the memory it goes to; or memory that an earlier process filled.
#[derive(Debug, Default)]
pub struct Loader {
    components: Vec<Loaded>,
    reads: Vec<Read>,
    /// Bytes of weights that were read, or left out.
    done: u64,
    skipped: u64,
    failed: bool,
    /// Of what the weights are, if they may be kept.
    origin: Option<Origin>,
    /// Kept ones that no component has taken yet.
    kept: Option<VecDeque<(Part, OwnedFd)>>,
}

/// A component's memory.
#[derive(Debug)]
struct Loaded {
    slab: Slab,
    part: Part,
    /// What is known of it, if an earlier process filled it.
    kept: Option<Part>,
    /// Whether its bytes are there, and are those that they should be.
    complete: bool,
}

/// The memory of tensors: on a GPU it must be dropped after them.
#[derive(Debug)]
pub struct LoadedMemory {
    components: Vec<Loaded>,
    origin: Option<Origin>,
}

/// Where weights came from, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// So many were read.
    Read(u64),
    /// None was read: so many had been kept.
    Kept(u64),
}

impl Loader {
    /// A loader of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A loader that remembers what it loads, so that the memory can be kept.
    ///
    /// # Errors
    /// When the GPU cannot be told from others.
    pub fn remembering(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        Ok(Self { origin: Some(Origin::new(checkpoint, device)?), ..Self::default() })
    }

    /// A loader that takes the weights which an earlier process kept, and reads none.
    ///
    /// # Errors
    /// [`Error::NotKept`] if they are not certain to be those of the checkpoint.
    pub fn from_kept(checkpoint: &Checkpoint, device: Device, kept: Kept) -> Result<Self> {
        let mut loader = Self::remembering(checkpoint, device)?;
        let (Manifest { origin, parts }, memory) = kept.open()?;
        if let Some(own) = &loader.origin {
            own.check(&origin)?;
        }
        loader.kept = Some(parts.into_iter().zip(memory).collect());
        Ok(loader)
    }

    /// Memory for the `bytes` bytes of the next component: new, or the kept one of this length.
    pub(super) fn memory(&mut self, device: Device, bytes: usize) -> Result<(Slab, Option<Part>)> {
        let Some(kept) = &mut self.kept else { return Ok((Slab::new(device, bytes)?, None)) };
        match kept.pop_front() {
            Some((part, memory)) if part.bytes == bytes => {
                Ok((Slab::import(device, memory, bytes)?, Some(part)))
            }
            _ => Err(Error::NotKept("they are of other lengths".to_owned())),
        }
    }

    /// Counts bytes that are left out.
    pub(super) fn skip(&mut self, bytes: u64) {
        self.done += bytes;
        self.skipped += bytes;
    }

    /// Takes a component's memory and what is to be read into it.
    pub(super) fn add(
        &mut self,
        (slab, kept): (Slab, Option<Part>),
        part: Part,
        mut reads: Vec<Read>,
    ) -> Result<()> {
        match &kept {
            Some(kept) => part.check(kept)?,
            None => {
                // In the order of the file, for disks and for the kernel's reading ahead.
                reads.sort_by(|a, b| (&a.file.label, a.offset).cmp(&(&b.file.label, b.offset)));
                self.reads.append(&mut reads);
            }
        }
        self.components.push(Loaded { slab, part, kept, complete: false });
        Ok(())
    }

    /// Reads everything that was taken since it last ran, or checks it if it was kept; the first
    /// error ends it.
    ///
    /// `on_progress` is called on this thread some 20 times a second, and at the end, unless there
    /// is nothing to read.
    ///
    /// # Errors
    /// When a file cannot be read or has become shorter, or the GPU fails. [`Error::NotKept`] when
    /// kept weights are not what they were.
    pub fn run(&mut self, on_progress: &mut dyn FnMut(Progress)) -> Result<()> {
        if self.kept.is_none() {
            self.read(on_progress)?;
        }
        // What ends with the process need not be known again.
        let worth = self.origin.is_some();
        self.failed = true;
        for component in self.components.iter_mut().filter(|component| !component.complete) {
            component.complete(worth)?;
        }
        self.failed = false;
        Ok(())
    }

    fn read(&mut self, on_progress: &mut dyn FnMut(Progress)) -> Result<()> {
        let reads = std::mem::take(&mut self.reads);
        let before = self.done;
        let total = before + reads.iter().map(Read::bytes).sum::<u64>();
        // Until the end is reached.
        self.failed = true;
        reading::read(&reads, &mut |read| on_progress(Progress { done: before + read, total }))?;
        (self.done, self.failed) = (total, false);
        on_progress(Progress { done: total, total });
        Ok(())
    }

    /// Whether everything that was taken has been read.
    pub fn is_done(&self) -> bool {
        self.reads.is_empty() && !self.failed
    }

    /// Where the weights came from.
    pub fn arrival(&self) -> Arrival {
        match self.kept {
            Some(_) => Arrival::Kept(self.components.iter().map(|c| c.part.bytes as u64).sum()),
            None => Arrival::Read(self.done - self.skipped),
        }
    }

    /// What must be kept as long as the tensors: they do not hold a GPU's memory themselves.
    pub fn into_memory(self) -> LoadedMemory {
        LoadedMemory { components: self.components, origin: self.origin }
    }
}

impl Loaded {
    /// After the last byte: makes the memory final, and sums it up or compares the sum.
    fn complete(&mut self, worth: bool) -> Result<()> {
        self.slab.complete();
        if worth {
            self.part.sum = digest::of_memory(self.slab.bytes())?;
        }
        if let Some(kept) = &self.kept {
            kept.check_sum(&self.part.sum)?;
        }
        self.complete = true;
        Ok(())
    }
}

impl LoadedMemory {
    /// That the memory still is what it was when it was complete, if it may be kept.
    ///
    /// # Errors
    /// [`Error::NotKept`] if anything wrote there; or when libtorch fails.
    pub fn check(&self) -> Result<()> {
        if self.origin.is_none() {
            return Ok(());
        }
        self.components.iter().try_for_each(|component| {
            component.part.check_sum(&digest::of_memory(component.slab.bytes())?)
        })
    }

    /// Hands the memory to whoever shall hold it beyond this process. Nothing writes into it any
    /// more; on a GPU nothing can.
    ///
    /// # Errors
    /// [`Error::NotKept`] where memory ends with its process, and why.
    pub fn keep(&self) -> Result<Kept> {
        let origin = self.origin.clone();
        let origin = origin.ok_or_else(|| Error::NotKept("nobody knows whose they are".into()))?;
        let memory = self.components.iter().map(|component| component.slab.share());
        let memory = memory.collect::<Result<Vec<_>>>()?;
        let parts = self.components.iter().map(|component| component.part.clone()).collect();
        Kept::of(&Manifest { origin, parts }, memory)
    }
}
