//! The parallel reader: threads read the tensors' bytes from files into arenas.
//!
//! One thread reads 4 GB/s from the page cache; twelve fill a PCIe Gen5 link (47 GB/s). Each thread
//! takes chunks from a shared counter, reads them, casts them where the file has another type, and
//! uploads them to the GPU from its own pinned slots. Reads go through the page cache also where it
//! is cold: twelve threads read 2.0 GB/s from a disk that gave `O_DIRECT` 0.9, and the next start is
//! warm.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tch::Kind;
use zimage_checkpoint::DataFile;
use zimage_cuda::{Memory, Uploader};

use super::arena::ArenaAddress;
use super::cast;
use crate::error::{Error, Result};

/// The most threads that read.
const THREADS: usize = 12;
/// The most bytes of a chunk on the device: copies of 2 MiB reach 95 % of the link.
const CHUNK: usize = 2 << 20;
/// The most bytes that are read before a cast: they stay in the processor's cache.
const TO_CAST: usize = 1 << 20;
/// Pinned slots of a thread: one is filled while the GPU copies from the others.
const SLOTS: usize = 3;
/// How often progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// A tensor to be read, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) file: Arc<DataFile>,
    /// Its offset in the file.
    pub(super) offset: u64,
    /// How many numbers it has.
    pub(super) numbers: usize,
    /// Their kind in the file.
    pub(super) from: Kind,
    /// Their kind in the arena.
    pub(super) to: Kind,
    /// The address of its first byte.
    pub(super) address: ArenaAddress,
}

/// Reads everything, and returns when it is complete; the first error ends it.
///
/// `on_progress` is called on this thread some 20 times a second with the bytes read so far.
pub(super) fn read(reads: &[Read], on_progress: &mut dyn FnMut(u64)) -> Result<()> {
    let chunks: Vec<Read> = reads.iter().flat_map(Read::chunks).collect();
    let (next, read) = (AtomicUsize::new(0), AtomicU64::new(0));
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| -> Result<()> {
        for _ in 0..threads().min(chunks.len()) {
            let sender: Sender<Result<()>> = sender.clone();
            let (chunks, next, read) = (&chunks, &next, &read);
            let work = move || {
                let _ = sender.send(read_chunks(chunks, next, read));
            };
            let reader = thread::Builder::new().name("reader".into());
            reader
                .spawn_scoped(scope, work)
                .map_err(|e| Error::Internal(format!("cannot start a reader thread: {e}")))?;
        }
        drop(sender);
        let mut outcome = Ok(());
        loop {
            match ended.recv_timeout(PROGRESS_INTERVAL) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    // No chunks are left for the others.
                    next.store(chunks.len(), Ordering::Relaxed);
                    outcome = outcome.and(Err(error));
                }
                Err(RecvTimeoutError::Timeout) => on_progress(read.load(Ordering::Relaxed)),
                Err(RecvTimeoutError::Disconnected) => return outcome,
            }
        }
    })
}

/// How many threads read.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(THREADS)
}

impl Read {
    /// Its bytes in the file.
    pub(super) fn bytes(&self) -> u64 {
        (self.numbers * self.from.elt_size_in_bytes()) as u64
    }

    /// The part of `count` numbers from number `first` on.
    pub(super) fn part(&self, first: usize, count: usize) -> Self {
        Self {
            offset: self.offset + (first * self.from.elt_size_in_bytes()) as u64,
            numbers: count,
            address: self.address.after(first * self.to.elt_size_in_bytes()),
            ..self.clone()
        }
    }

    /// Parts of at most `most` numbers.
    fn parts(&self, most: usize) -> impl Iterator<Item = Self> + '_ {
        (0..self.numbers)
            .step_by(most)
            .map(move |first| self.part(first, most.min(self.numbers - first)))
    }

    /// Parts that are each copied to the device at once.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Self> + '_ {
        self.parts(CHUNK / self.to.elt_size_in_bytes())
    }

    /// Fills `to`, which has its length on the device; casts piece by piece through `buffer`.
    pub(super) fn fetch(&self, buffer: &mut Vec<u8>, to: &mut [u8]) -> Result<()> {
        if self.from == self.to {
            return Ok(self.file.read_exact_at(to, self.offset)?);
        }
        buffer.resize(TO_CAST, 0);
        let (from, width) = (self.from, self.to.elt_size_in_bytes());
        let mut rest = to;
        for piece in self.parts(TO_CAST / from.elt_size_in_bytes()) {
            let (now, later) = rest.split_at_mut(piece.numbers * width);
            let read = &mut buffer[..piece.bytes() as usize];
            self.file.read_exact_at(read, piece.offset)?;
            cast::cast(read, from, now, self.to)?;
            rest = later;
        }
        Ok(())
    }
}

/// The state of one thread.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Created for the first chunk that goes to a GPU.
    uploader: Option<Uploader>,
    /// Bytes before the cast; empty if nothing is cast.
    buffer: Vec<u8>,
    /// Bytes for a memory file, after the cast.
    chunk: Vec<u8>,
}

fn read_chunks(chunks: &[Read], next: &AtomicUsize, read: &AtomicU64) -> Result<()> {
    let mut reader = Reader::default();
    while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
        reader.load(chunk)?;
        read.fetch_add(chunk.bytes(), Ordering::Relaxed);
    }
    match reader.uploader {
        Some(uploader) => Ok(uploader.finish()?),
        None => Ok(()),
    }
}

impl Reader {
    /// Its uploader to this GPU.
    pub(super) fn uploader(&mut self, ordinal: usize) -> Result<&mut Uploader> {
        match &mut self.uploader {
            Some(uploader) => Ok(uploader),
            none => Ok(none.insert(Uploader::new(ordinal, SLOTS, CHUNK)?)),
        }
    }

    /// Reads a chunk and brings it to its address, which a GPU may still be doing on return.
    pub(super) fn load(&mut self, chunk: &Read) -> Result<()> {
        match &chunk.address {
            ArenaAddress::Host(address) => self.load_to_host(chunk, *address),
            ArenaAddress::Cuda(memory, offset) => self.load_to_gpu(chunk, memory, *offset),
            ArenaAddress::File(memory, offset) => self.load_to_file(chunk, memory, *offset),
        }
    }

    #[expect(unsafe_code, reason = "tch has no way to write into a tensor's memory without a copy")]
    fn load_to_host(&mut self, chunk: &Read, address: usize) -> Result<()> {
        let bytes = chunk.numbers * chunk.to.elt_size_in_bytes();
        // SAFETY: `Weights` gives every read an address range of its own in an arena that the loader
        // owns while it runs; the range is contiguous host memory, initialised when the arena was
        // created, and any bytes are valid numbers.
        let memory = unsafe { std::slice::from_raw_parts_mut(address as *mut u8, bytes) };
        chunk.fetch(&mut self.buffer, memory)
    }

    fn load_to_file(&mut self, chunk: &Read, memory: &File, offset: u64) -> Result<()> {
        let bytes = chunk.numbers * chunk.to.elt_size_in_bytes();
        self.chunk.resize(CHUNK, 0);
        chunk.fetch(&mut self.buffer, &mut self.chunk[..bytes])?;
        memory
            .write_all_at(&self.chunk[..bytes], offset)
            .map_err(|e| Error::Device(format!("no host memory for the weights: {e}")))
    }

    fn load_to_gpu(&mut self, chunk: &Read, memory: &Memory, offset: usize) -> Result<()> {
        self.uploader(memory.ordinal())?;
        let Self { uploader: Some(uploader), buffer, .. } = self else { return Ok(()) };
        let bytes = chunk.numbers * chunk.to.elt_size_in_bytes();
        chunk.fetch(buffer, &mut uploader.slot()?[..bytes])?;
        Ok(uploader.send(bytes, memory, offset)?)
    }
}

#[cfg(test)]
mod tests {
    use zimage_checkpoint::Source;

    use super::*;

    fn read(numbers: usize, from: Kind, to: Kind) -> Read {
        let file = Source::embedded("m", &[("f", b"")]).open("f").unwrap();
        Read {
            file: Arc::new(file),
            offset: 100,
            numbers,
            from,
            to,
            address: ArenaAddress::Host(4096),
        }
    }

    #[test]
    fn chunks_follow_one_another_and_hold_all() {
        for (from, to) in [(Kind::Float, Kind::BFloat16), (Kind::Half, Kind::Float)] {
            let (width, wide) = (from.elt_size_in_bytes(), to.elt_size_in_bytes());
            for numbers in [0, 1, CHUNK / wide, CHUNK / wide + 1, 5 * CHUNK + 7] {
                let (mut offset, mut address, mut all) = (100, 4096, 0);
                for chunk in read(numbers, from, to).chunks() {
                    assert!(chunk.numbers > 0 && chunk.numbers * wide <= CHUNK);
                    assert_eq!(chunk.offset, offset);
                    assert!(matches!(chunk.address, ArenaAddress::Host(at) if at == address));
                    offset += (chunk.numbers * width) as u64;
                    address += chunk.numbers * wide;
                    all += chunk.numbers;
                }
                assert_eq!(all, numbers);
            }
        }
    }
}
