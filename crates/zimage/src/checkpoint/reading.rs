//! The bytes of all tensors, brought by many threads at once.
//!
//! One thread reads 4 GB/s from the page cache; twelve fill a PCIe Gen5 link (47 GB/s). Each takes
//! chunks from a common counter, reads, casts where the file has another type, and has the GPU
//! fetch them from pinned slots of its own. Reads go through the page cache also where it is cold:
//! twelve threads had 2.0 GB/s of a disk from which `O_DIRECT` had 0.9, and the next start is warm.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tch::Kind;
use zimage_cuda::{Memory, Uploader};

use super::cast;
use super::slab::Place;
use super::source::DataFile;
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

/// Reads all of it, and returns when it is there; the first error ends it.
///
/// `tell` is called on this thread some 20 times a second with the bytes that were read.
pub(super) fn read(reads: &[Read], tell: &mut dyn FnMut(u64)) -> Result<()> {
    let chunks: Vec<Read> = reads.iter().flat_map(Read::chunks).collect();
    let (next, read) = (AtomicUsize::new(0), AtomicU64::new(0));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (sender, ended) = mpsc::channel();
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
                Err(RecvTimeoutError::Timeout) => tell(read.load(Ordering::Relaxed)),
                Err(RecvTimeoutError::Disconnected) => return outcome,
            }
        }
    })
}

impl Read {
    /// How many bytes it has in the file.
    pub(super) fn bytes(&self) -> u64 {
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
    /// What goes to a file's memory is read, or cast, into this.
    chunk: Vec<u8>,
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
            Place::File(memory, offset) => self.bring_to_file(chunk, memory, *offset),
        }
    }

    #[expect(unsafe_code, reason = "tch has no way to write into a tensor's memory without a copy")]
    fn bring_to_host(&mut self, chunk: &Read, address: usize) -> Result<()> {
        let bytes = chunk.numbers * chunk.to.elt_size_in_bytes();
        // SAFETY: `Weights` has given every read a stretch of its own in a slab that the loader
        // holds while it runs; it is contiguous on the host and was set when it was made, and any
        // bytes are numbers.
        let memory = unsafe { std::slice::from_raw_parts_mut(address as *mut u8, bytes) };
        chunk.fetch(&mut self.window, memory)
    }

    fn bring_to_file(&mut self, chunk: &Read, memory: &File, offset: u64) -> Result<()> {
        let bytes = chunk.numbers * chunk.to.elt_size_in_bytes();
        self.chunk.resize(CHUNK, 0);
        chunk.fetch(&mut self.window, &mut self.chunk[..bytes])?;
        memory
            .write_all_at(&self.chunk[..bytes], offset)
            .map_err(|e| Error::Device(format!("the machine has no memory for the weights: {e}")))
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
