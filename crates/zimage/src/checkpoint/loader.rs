//! The bytes of all tensors, brought by many threads at once.
//!
//! One thread reads 4 GB/s from the page cache; twelve fill a PCIe Gen5 link (47 GB/s). Each takes
//! chunks from a common counter, reads, casts where the file has another type, and has the GPU
//! fetch them from pinned slots of its own. Reads go through the page cache also where it is cold:
//! twelve threads had 2.0 GB/s of a disk from which `O_DIRECT` had 0.9, and the next start is warm.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tch::{Device, Kind};
use zimage_cuda::{Memory, Uploader};

use super::kept::{Kept, Manifest, Origin, Part};
use super::slab::{Place, Slab};
use super::source::DataFile;
use super::{Checkpoint, cast, digest};
use crate::error::{Error, Result};

/// The most threads that read.
const THREADS: usize = 12;
/// The most bytes of a chunk, as they are on the device: copies of 2 MiB reach 95 % of the link.
const CHUNK: usize = 2 << 20;
/// The most bytes that are read to be cast: the cast finds them in the processor's cache.
const TO_CAST: usize = 1 << 20;
/// Pinned slots of a thread: one is filled while the GPU fetches the others.
const SLOTS: usize = 3;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(50);

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

/// A tensor to be read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) file: Arc<DataFile>,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// How many numbers it has.
    pub(super) numbers: usize,
    /// What they are in the file.
    pub(super) from: Kind,
    /// What they shall be.
    pub(super) to: Kind,
    /// Where its first byte goes.
    pub(super) place: Place,
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
        let total = self.done + reads.iter().map(Read::bytes).sum::<u64>();
        let chunks: Vec<Read> = reads.iter().flat_map(Read::chunks).collect();
        let (next, read) = (AtomicUsize::new(0), AtomicU64::new(0));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (sender, ended) = mpsc::channel();
        let before = self.done;
        // Until the end is reached.
        self.failed = true;
        let tell = |on_progress: &mut dyn FnMut(Progress)| {
            let done = before + read.load(Ordering::Relaxed);
            on_progress(Progress { done, total });
        };
        thread::scope(|scope| -> Result<()> {
            for _ in 0..cores.min(THREADS).min(chunks.len()) {
                let sender: Sender<Result<()>> = sender.clone();
                let (chunks, next, read) = (&chunks, &next, &read);
                let work = move || {
                    let _ = sender.send(work(chunks, next, read));
                };
                let reader = thread::Builder::new().name("reader".into());
                reader
                    .spawn_scoped(scope, work)
                    .map_err(|e| Error::Internal(format!("a thread cannot be started: {e}")))?;
            }
            drop(sender);
            let mut outcome = Ok(());
            loop {
                match ended.recv_timeout(TELL) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        // The others find nothing more to do.
                        next.store(chunks.len(), Ordering::Relaxed);
                        outcome = outcome.and(Err(error));
                    }
                    Err(RecvTimeoutError::Timeout) => tell(on_progress),
                    Err(RecvTimeoutError::Disconnected) => return outcome,
                }
            }
        })?;
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

impl Read {
    /// How many bytes it has in the file.
    fn bytes(&self) -> u64 {
        (self.numbers * self.from.elt_size_in_bytes()) as u64
    }

    /// The part from number `first` on, of `count` numbers.
    fn part(&self, first: usize, count: usize) -> Self {
        Self {
            offset: self.offset + (first * self.from.elt_size_in_bytes()) as u64,
            numbers: count,
            place: self.place.after(first * self.to.elt_size_in_bytes()),
            ..self.clone()
        }
    }

    /// It in parts of at most `most` numbers.
    fn parts(&self, most: usize) -> impl Iterator<Item = Self> + '_ {
        (0..self.numbers)
            .step_by(most)
            .map(move |first| self.part(first, most.min(self.numbers - first)))
    }

    fn chunks(&self) -> impl Iterator<Item = Self> + '_ {
        self.parts(CHUNK / self.to.elt_size_in_bytes())
    }

    /// Fills `to`, which has its length on the device; casts piece by piece through `window`.
    fn fetch(&self, window: &mut Vec<u8>, to: &mut [u8]) -> Result<()> {
        if self.from == self.to {
            return self.file.read_exact_at(to, self.offset);
        }
        window.resize(TO_CAST, 0);
        let (from, width) = (self.from, self.to.elt_size_in_bytes());
        let mut rest = to;
        for piece in self.parts(TO_CAST / from.elt_size_in_bytes()) {
            let (now, later) = rest.split_at_mut(piece.numbers * width);
            let read = &mut window[..piece.bytes() as usize];
            self.file.read_exact_at(read, piece.offset)?;
            cast::cast(read, from, now, self.to)?;
            rest = later;
        }
        Ok(())
    }
}

/// What one thread has.
#[derive(Default)]
struct Reader {
    /// Made for the first chunk that goes to a GPU.
    uploader: Option<Uploader>,
    /// What is to be cast is read into this; empty if nothing is.
    window: Vec<u8>,
}

fn work(chunks: &[Read], next: &AtomicUsize, read: &AtomicU64) -> Result<()> {
    let mut reader = Reader::default();
    while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
        reader.bring(chunk)?;
        read.fetch_add(chunk.bytes(), Ordering::Relaxed);
    }
    match reader.uploader {
        Some(uploader) => Ok(uploader.finish()?),
        None => Ok(()),
    }
}

impl Reader {
    fn bring(&mut self, chunk: &Read) -> Result<()> {
        match &chunk.place {
            Place::Host(address) => self.bring_to_host(chunk, *address),
            Place::Cuda(memory, offset) => self.bring_to_gpu(chunk, memory, *offset),
            Place::Filled => Err(Error::Internal("kept weights are not read".to_owned())),
        }
    }

    #[expect(unsafe_code, reason = "tch has no way to write into a tensor's memory without a copy")]
    fn bring_to_host(&mut self, chunk: &Read, address: usize) -> Result<()> {
        let bytes = chunk.numbers * chunk.to.elt_size_in_bytes();
        // SAFETY: `Weights` has given every read a stretch of its own in a slab that the loader
        // holds, and completes after it has read; it is contiguous on the host and was set when it
        // was made, and any bytes are numbers.
        let memory = unsafe { std::slice::from_raw_parts_mut(address as *mut u8, bytes) };
        chunk.fetch(&mut self.window, memory)
    }

    fn bring_to_gpu(&mut self, chunk: &Read, memory: &Memory, offset: usize) -> Result<()> {
        let uploader = match &mut self.uploader {
            Some(uploader) => uploader,
            None => self.uploader.insert(Uploader::new(memory.ordinal(), SLOTS, CHUNK)?),
        };
        let bytes = chunk.numbers * chunk.to.elt_size_in_bytes();
        chunk.fetch(&mut self.window, &mut uploader.slot()?[..bytes])?;
        Ok(uploader.send(bytes, memory, offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::source::Source;

    fn read(numbers: usize, from: Kind, to: Kind) -> Read {
        let file = Source::memory("m", &[("f", b"")]).open("f").unwrap();
        Read { file: Arc::new(file), offset: 100, numbers, from, to, place: Place::Host(4096) }
    }

    #[test]
    fn chunks_follow_one_another_and_hold_all() {
        for (from, to) in [(Kind::Float, Kind::BFloat16), (Kind::Half, Kind::Float)] {
            let (width, wide) = (from.elt_size_in_bytes(), to.elt_size_in_bytes());
            for numbers in [0, 1, CHUNK / wide, CHUNK / wide + 1, 5 * CHUNK + 7] {
                let (mut offset, mut place, mut all) = (100, 4096, 0);
                for chunk in read(numbers, from, to).chunks() {
                    assert!(chunk.numbers > 0 && chunk.numbers * wide <= CHUNK);
                    assert_eq!(chunk.offset, offset);
                    assert!(matches!(chunk.place, Place::Host(at) if at == place));
                    offset += (chunk.numbers * width) as u64;
                    place += chunk.numbers * wide;
                    all += chunk.numbers;
                }
                assert_eq!(all, numbers);
            }
        }
    }
}
