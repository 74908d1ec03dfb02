//! The parallel reader: threads read the tensors' bytes from files into arenas.
//!
//! One thread reads 4 GB/s from the page cache; twelve fill a PCIe Gen5 link (47 GB/s). Each thread
//! takes chunks from a shared counter, reads them, casts or expands them where the file has another
//! encoding, and uploads them to the GPU from its own pinned slots. Quantised numbers are expanded on
//! the GPU: the link carries them as they are in the file. Reads go through the page cache
//! also where it is cold: twelve threads read 2.0 GB/s from a disk that gave `O_DIRECT` 0.9, and the
//! next start is warm.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tch::Kind;
use zimage_checkpoint::{DataFile, Encoding, Piece, StoredTensor};
use zimage_cuda::{Expander, Int8Maker, Memory, PlainRows, Uploader};

use super::arena::ArenaAddress;
use super::cast;
use super::int8::{self, Int8};
use crate::error::{Error, Result};

/// The most threads that read.
const THREADS: usize = 12;
/// The most bytes of a chunk on the device, and of a pinned slot: copies of 2 MiB reach 95 % of the link,
/// and more pinned memory takes longer to have.
pub(super) const CHUNK: usize = 2 << 20;
/// Pinned slots of a thread: one is filled while the GPU copies from the others.
const SLOTS: usize = 3;
/// How often progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// A tensor to be read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) file: Arc<DataFile>,
    /// Its encoding and place in the file.
    pub(super) stored: StoredTensor,
    /// The kind of its numbers in the arena; Uint8 for the bytes as the file has them.
    pub(super) to: Kind,
    /// If its rows become 8-bit integers, also where the file has other numbers.
    pub(super) int8: Option<Int8>,
    /// The address of its first byte.
    pub(super) address: ArenaAddress,
}

/// A part of a tensor that is read at once.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    file: Arc<DataFile>,
    piece: Piece,
    to: Kind,
    address: ArenaAddress,
    /// If its rows become 8-bit integers: their numbers, and what becomes of them.
    int8: Option<(usize, ChunkInt8)>,
}

/// What becomes of the integers of a chunk.
#[derive(Clone, Debug)]
enum ChunkInt8 {
    /// They go to the chunk's address, and the scales of the rows to this one.
    Rows(ArenaAddress),
    /// They are expanded again.
    Rounded,
}

/// Reads everything, and returns when it is complete; the first error ends it.
///
/// `on_progress` is called on this thread some 20 times a second with the bytes read so far.
pub(super) fn read(reads: &[Read], on_progress: &mut dyn FnMut(u64)) -> Result<()> {
    let chunks: Vec<Chunk> = reads.iter().flat_map(|read| read.chunks(CHUNK)).collect();
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
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(THREADS)
}

impl Read {
    /// The bytes that are read from the file, scales included.
    pub(super) fn bytes(&self) -> u64 {
        self.chunks(CHUNK).map(|chunk| chunk.piece.file_bytes()).sum()
    }

    /// Whether the GPU expands its numbers.
    pub(super) fn is_expanded_on_gpu(&self) -> bool {
        let is_on_gpu = matches!(self.address, ArenaAddress::Cuda(..));
        is_on_gpu && self.to != Kind::Uint8 && cast::kind_of(self.stored.encoding).is_none()
    }

    /// Whether the GPU makes 8-bit integers of its numbers.
    pub(super) fn is_made_int8_on_gpu(&self) -> bool {
        matches!((&self.address, self.int8), (ArenaAddress::Cuda(..), Some(Int8::Rows { .. })))
    }

    /// The row `number` of a matrix alone, for host memory.
    pub(super) fn row(&self, number: i64) -> Result<Chunk> {
        let row = self.stored.narrow_rows(number..number + 1)?;
        let piece = row.piece().ok_or_else(|| {
            Error::Internal(format!("a row in {} cannot be read", self.stored.encoding))
        })?;
        let address = ArenaAddress::Host(0);
        Ok(Chunk { file: Arc::clone(&self.file), piece, to: self.to, address, int8: None })
    }

    /// Parts of at most so many bytes that are each brought to the device at once.
    pub(super) fn chunks(&self, most: usize) -> Box<dyn Iterator<Item = Chunk> + '_> {
        if let Some(int8) = self.int8 {
            return Box::new(self.row_chunks(int8, most));
        }
        let width = self.to.elt_size_in_bytes();
        let mut done = 0;
        let (bytes, numbers) = match self.stored.encoding {
            // Room for the scales is left in the slot.
            Encoding::Scaled(_) if self.is_expanded_on_gpu() => (most / 4 * 3, usize::MAX),
            _ if self.is_expanded_on_gpu() => (most, usize::MAX),
            _ => (most, most / width),
        };
        Box::new(self.stored.pieces(bytes as u64, numbers as u64).map(move |piece| {
            let address = self.address.after(done * width);
            done += piece.numbers();
            Chunk { file: Arc::clone(&self.file), piece, to: self.to, address, int8: None }
        }))
    }

    /// Parts of whole rows.
    fn row_chunks(&self, int8: Int8, most: usize) -> impl Iterator<Item = Chunk> + '_ {
        let rows = self.stored.shape.first().copied().unwrap_or(0);
        let width = self.stored.row() as usize;
        let row = (self.stored.bytes / rows.max(1) as u64) as usize;
        let row = row.max(width * self.to.elt_size_in_bytes());
        let step = (most / row.max(1)).max(1);
        (0..rows).step_by(step).filter_map(move |first| {
            let end = (first + step as i64).min(rows);
            let piece = self.stored.narrow_rows(first..end).ok()?.piece()?;
            let first = first as usize;
            let address = self.address.after(first * width * self.to.elt_size_in_bytes());
            let int8 = match int8 {
                Int8::Rows { scales } => ChunkInt8::Rows(self.address.after(scales + first * 4)),
                Int8::Rounded => ChunkInt8::Rounded,
            };
            let (file, int8) = (Arc::clone(&self.file), Some((width, int8)));
            Some(Chunk { file, piece, to: self.to, address, int8 })
        })
    }
}

impl Chunk {
    /// Its bytes in the arena.
    pub(super) fn bytes(&self) -> usize {
        self.piece.numbers() * self.to.elt_size_in_bytes()
    }

    /// Reads what the file has of it to where the piece has its parts.
    fn fetch(&self, buffer: &mut [u8]) -> Result<()> {
        for part in self.piece.parts().iter().filter(|part| part.bytes > 0) {
            self.file.read_exact_at(&mut buffer[part.at..part.at + part.bytes], part.offset)?;
        }
        Ok(())
    }

    /// Fills `to`, which has its length in the arena; casts and expands through `buffer`.
    pub(super) fn load(&self, buffer: &mut Vec<u8>, to: &mut [u8]) -> Result<()> {
        let from = cast::kind_of(self.piece.encoding);
        if self.int8.is_none() && (from == Some(self.to) || self.to == Kind::Uint8) {
            return self.fetch(to);
        }
        if buffer.len() < self.piece.bytes() {
            buffer.resize(self.piece.bytes(), 0);
        }
        let read = &mut buffer[..self.piece.bytes()];
        self.fetch(read)?;
        if let (Some((width, _)), Encoding::Plain(number)) = (&self.int8, self.piece.encoding) {
            return int8::round((number, *width), read, to, self.to);
        }
        match from {
            Some(from) => cast::cast(read, from, to, self.to),
            None => cast::expand(&self.piece, read, to, self.to),
        }
    }
}

/// The state of one thread.
#[derive(Debug)]
pub(super) struct Reader {
    /// Bytes of a pinned slot.
    slot: usize,
    /// Created for the first chunk that goes to a GPU.
    uploader: Option<Uploader>,
    /// Bytes of the file before they are cast or expanded; empty if none are.
    buffer: Vec<u8>,
    /// Bytes for a memory file, after the cast.
    chunk: Vec<u8>,
}

fn read_chunks(chunks: &[Chunk], next: &AtomicUsize, read: &AtomicU64) -> Result<()> {
    let mut reader = Reader::new(CHUNK);
    while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
        reader.load(chunk)?;
        read.fetch_add(chunk.piece.file_bytes(), Ordering::Relaxed);
    }
    match reader.uploader {
        Some(uploader) => Ok(uploader.finish()?),
        None => Ok(()),
    }
}

impl Reader {
    /// A reader of chunks of at most `slot` bytes.
    pub(super) fn new(slot: usize) -> Self {
        Self { slot, uploader: None, buffer: Vec::new(), chunk: Vec::new() }
    }

    /// Its uploader to this GPU.
    pub(super) fn uploader(&mut self, ordinal: usize) -> Result<&mut Uploader> {
        match &mut self.uploader {
            Some(uploader) => Ok(uploader),
            none => Ok(none.insert(Uploader::new(ordinal, SLOTS, self.slot)?)),
        }
    }

    /// Reads a chunk and brings it to its address, which a GPU may still be doing on return.
    pub(super) fn load(&mut self, chunk: &Chunk) -> Result<()> {
        if let Some((width, ChunkInt8::Rows(scales))) = &chunk.int8 {
            return self.load_int8(chunk, *width, scales);
        }
        match &chunk.address {
            ArenaAddress::Host(address) => {
                chunk.load(&mut self.buffer, host_memory(*address, chunk.bytes()))
            }
            ArenaAddress::Cuda(memory, offset) => self.load_to_gpu(chunk, memory, *offset),
            ArenaAddress::File(memory, offset) => self.load_to_file(chunk, memory, *offset),
        }
    }

    /// Makes 8-bit integers of a chunk's rows, on the GPU if they go there and it has the kernel.
    fn load_int8(&mut self, chunk: &Chunk, width: usize, scales: &ArenaAddress) -> Result<()> {
        let Encoding::Plain(number) = chunk.piece.encoding else {
            return Err(Error::Internal("integers are made of plain numbers alone".to_owned()));
        };
        let rows = chunk.piece.numbers() / width.max(1);
        if let (ArenaAddress::Cuda(memory, values), ArenaAddress::Cuda(_, scales)) =
            (&chunk.address, scales)
            && chunk.piece.bytes() <= self.slot
            && let Some(maker) = Int8Maker::shared(memory.ordinal())
        {
            let uploader = self.uploader(memory.ordinal())?;
            chunk.fetch(uploader.slot()?)?;
            let rotation = zimage_checkpoint::rotation_of(width as u64);
            let rows = PlainRows { number, rows, width, rotation };
            return Ok(uploader.make_int8(&maker, rows, (memory, *values, *scales))?);
        }
        self.buffer.resize(self.buffer.len().max(chunk.piece.bytes()), 0);
        let read = &mut self.buffer[..chunk.piece.bytes()];
        chunk.fetch(read)?;
        let mut made = vec![0; chunk.bytes() + rows * 4];
        let (values, of_rows) = made.split_at_mut(chunk.bytes());
        int8::make((number, width), read, values, of_rows)?;
        self.put(&chunk.address, values)?;
        self.put(scales, of_rows)
    }

    /// Brings bytes to an address.
    fn put(&mut self, address: &ArenaAddress, bytes: &[u8]) -> Result<()> {
        match address {
            ArenaAddress::Host(address) => {
                host_memory(*address, bytes.len()).copy_from_slice(bytes);
                Ok(())
            }
            ArenaAddress::File(memory, offset) => write(memory, bytes, *offset),
            ArenaAddress::Cuda(memory, offset) => {
                let slot = self.slot;
                let uploader = self.uploader(memory.ordinal())?;
                for (number, part) in bytes.chunks(slot).enumerate() {
                    uploader.slot()?[..part.len()].copy_from_slice(part);
                    uploader.send(part.len(), memory, offset + number * slot)?;
                }
                Ok(())
            }
        }
    }

    fn load_to_file(&mut self, chunk: &Chunk, memory: &File, offset: u64) -> Result<()> {
        let bytes = chunk.bytes();
        if self.chunk.len() < bytes {
            self.chunk.resize(bytes, 0);
        }
        chunk.load(&mut self.buffer, &mut self.chunk[..bytes])?;
        write(memory, &self.chunk[..bytes], offset)
    }

    fn load_to_gpu(&mut self, chunk: &Chunk, memory: &Memory, offset: usize) -> Result<()> {
        let ordinal = memory.ordinal();
        self.uploader(ordinal)?;
        let Self { uploader: Some(uploader), buffer, chunk: expanded, slot } = self else {
            return Ok(());
        };
        let bytes = chunk.bytes();
        if chunk.to == Kind::Uint8 || cast::kind_of(chunk.piece.encoding).is_some() {
            chunk.load(buffer, &mut uploader.slot()?[..bytes])?;
            return Ok(uploader.send(bytes, memory, offset)?);
        }
        if chunk.piece.bytes() <= *slot
            && let Some(expander) = Expander::shared(ordinal)
        {
            chunk.fetch(uploader.slot()?)?;
            return Ok(uploader.expand(&expander, &chunk.piece, (memory, offset), chunk.to)?);
        }
        // Without kernels, or where the scales of a few rows exceed a slot: on this thread.
        expanded.resize(bytes, 0);
        chunk.load(buffer, expanded)?;
        for (number, part) in expanded.chunks(*slot).enumerate() {
            uploader.slot()?[..part.len()].copy_from_slice(part);
            uploader.send(part.len(), memory, offset + number * *slot)?;
        }
        Ok(())
    }
}

/// `bytes` bytes of an arena's host memory.
#[expect(unsafe_code, reason = "tch has no way to write into a tensor's memory without a copy")]
fn host_memory<'a>(address: usize, bytes: usize) -> &'a mut [u8] {
    // SAFETY: `Weights` gives every read an address range of its own in an arena that the loader
    // owns while it runs; the range is contiguous host memory, initialised when the arena was
    // created, and any bytes are valid numbers.
    unsafe { std::slice::from_raw_parts_mut(address as *mut u8, bytes) }
}

fn write(memory: &File, bytes: &[u8], offset: u64) -> Result<()> {
    memory
        .write_all_at(bytes, offset)
        .map_err(|e| Error::Device(format!("no host memory for the weights: {e}")))
}

#[cfg(test)]
mod tests {
    use zimage_checkpoint::{Encoding, Number, Source};

    use super::*;

    fn read(numbers: usize, from: Number, to: Kind) -> Read {
        let file = Source::embedded("m", &[("f", b"")]).open("f").unwrap();
        let stored = StoredTensor {
            encoding: Encoding::Plain(from),
            shape: vec![numbers as i64],
            offset: 100,
            bytes: numbers as u64 * from.bytes(),
            first_row: 0,
            companions: Vec::new(),
        };
        let address = ArenaAddress::Host(4096);
        Read { file: Arc::new(file), stored, to, int8: None, address }
    }

    #[test]
    fn chunks_follow_one_another_and_hold_all() {
        for (from, to) in [(Number::F32, Kind::BFloat16), (Number::F8E5m2, Kind::Float)] {
            let (width, wide) = (from.bytes(), to.elt_size_in_bytes());
            for numbers in [0, 1, CHUNK / wide, CHUNK / wide + 1, 5 * CHUNK + 7] {
                let (mut offset, mut address, mut all) = (100, 4096, 0);
                let read = read(numbers, from, to);
                for chunk in read.chunks(CHUNK) {
                    let found = chunk.piece.numbers();
                    assert!(found > 0 && chunk.bytes() <= CHUNK);
                    assert_eq!(chunk.piece.parts()[0].offset, offset);
                    assert!(matches!(chunk.address, ArenaAddress::Host(at) if at == address));
                    offset += found as u64 * width;
                    address += chunk.bytes();
                    all += found;
                }
                assert_eq!((all, read.bytes()), (numbers, numbers as u64 * width));
            }
        }
    }
}
