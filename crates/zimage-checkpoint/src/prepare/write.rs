//! Writing of a prepared file by several threads: each tensor is read in parts, converted and written
//! to its place, and its checksum is taken on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::PrepareError;
use super::header;
use super::numbers::float8_row;
use super::plan::{Content, Form, PreparePlan, Task};
use crate::digest::hexadecimal;
use crate::encoding::{Encoding, Number, ScaleScope, ScaledFormat};
use crate::error::Error;
use crate::expand::{Piece, expand, widen};
use crate::int8::int8_row;
use crate::source::DataFile;
use crate::stored_tensor::StoredTensor;

/// Numbers that a thread converts at once: it needs some ten bytes for each.
const NUMBERS: u64 = 1 << 20;
/// The most threads. Each reads, converts and writes; a disk is filled by few.
const THREADS: usize = 16;
/// How often progress is reported.
const PACE: Duration = Duration::from_millis(100);

/// The checksums of tensors, by the number of the entry.
type Sums = Mutex<BTreeMap<usize, String>>;

/// What the threads share.
struct Work<'a> {
    plan: &'a PreparePlan,
    file: &'a File,
    next: AtomicUsize,
    written: AtomicU64,
    stopped: AtomicBool,
    sums: Sums,
}

/// A tensor of the file that is written from its beginning on.
struct Target<'a> {
    work: &'a Work<'a>,
    entry: usize,
    /// The next byte in the file.
    at: u64,
    sum: Sha256,
}

/// The buffers of a thread.
#[derive(Default)]
struct Buffers {
    read: Vec<u8>,
    brain: Vec<u8>,
    single: Vec<f32>,
    double: Vec<f64>,
    out: Vec<u8>,
}

impl PreparePlan {
    /// Writes everything to `file`, which is empty. The header comes last, so that an interrupted file
    /// is none. `on_progress` is called some ten times a second with the bytes written, and ends it
    /// by false. Returns the checksum of the header, and by that of everything.
    ///
    /// # Errors
    /// When the checkpoint cannot be read, the file cannot be written, or `on_progress` ends it.
    pub fn write(
        &self,
        file: &File,
        on_progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<String, PrepareError> {
        let work = Work {
            plan: self,
            file,
            next: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            sums: Mutex::default(),
        };
        work.run(on_progress)?;
        let sums = work.sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        let sums = sums.into_iter().map(|(entry, sum)| (self.entries[entry].name.as_str(), sum));
        let (header, checksum) = header::bytes(&self.texts, &self.entries, &sums.collect())
            .map_err(|error| PrepareError::Internal(error.to_string()))?;
        file.write_all_at(&header, 0).map_err(PrepareError::Write)?;
        Ok(checksum)
    }
}

impl Work<'_> {
    fn run(&self, on_progress: &mut dyn FnMut(u64) -> bool) -> Result<(), PrepareError> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let (sender, ended) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..threads {
                let sender = sender.clone();
                let work = move || {
                    let _ = sender.send(self.tasks());
                };
                let started =
                    thread::Builder::new().name("prepare".into()).spawn_scoped(scope, work);
                started.map_err(|error| {
                    self.stopped.store(true, Ordering::Relaxed);
                    PrepareError::Internal(error.to_string())
                })?;
            }
            drop(sender);
            let mut outcome = Ok(());
            loop {
                match ended.recv_timeout(PACE) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        self.stopped.store(true, Ordering::Relaxed);
                        // The first error is the cause, others follow from it.
                        outcome = outcome.and(Err(error));
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        if !on_progress(self.written.load(Ordering::Relaxed)) {
                            self.stopped.store(true, Ordering::Relaxed);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => return outcome,
                }
            }
        })
    }

    /// Does tasks until there are no more.
    fn tasks(&self) -> Result<(), PrepareError> {
        let mut buffers = Buffers::default();
        while let Some(task) = self.plan.tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            self.task(task, &mut buffers)?;
        }
        Ok(())
    }

    fn task(
        &self,
        Task { entry, content }: &Task,
        buffers: &mut Buffers,
    ) -> Result<(), PrepareError> {
        let mut target = Target::new(self, *entry);
        match content {
            Content::Bytes(bytes) => target.write(bytes)?,
            Content::Rows { parts, form } => {
                let mut scales = Vec::new();
                for (file, stored) in parts {
                    convert(file, stored, *form, &mut target, &mut scales, buffers)?;
                }
                if let Form::Float8(entry) | Form::Int8(_, entry) = *form {
                    let mut target = Target::new(self, entry);
                    let bytes: Vec<u8> =
                        scales.iter().flat_map(|s: &f32| s.to_le_bytes()).collect();
                    target.write(&bytes)?;
                    target.finish();
                }
            }
        }
        target.finish();
        Ok(())
    }
}

impl<'a> Target<'a> {
    fn new(work: &'a Work<'a>, entry: usize) -> Self {
        let at = work.plan.begin + work.plan.entries[entry].data_offsets.0;
        Self { work, entry, at, sum: Sha256::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PrepareError> {
        if self.work.stopped.load(Ordering::Relaxed) {
            return Err(PrepareError::Stopped);
        }
        self.work.file.write_all_at(bytes, self.at).map_err(PrepareError::Write)?;
        self.sum.update(bytes);
        self.at += bytes.len() as u64;
        self.work.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn finish(self) {
        let sum = hexadecimal(self.sum.finalize().as_slice());
        let mut sums = self.work.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.insert(self.entry, sum);
    }
}

/// Reads a tensor, and writes its numbers in their new form; scales of rows are added to `scales`.
fn convert(
    file: &DataFile,
    stored: &StoredTensor,
    form: Form,
    target: &mut Target<'_>,
    scales: &mut Vec<f32>,
    buffers: &mut Buffers,
) -> Result<(), PrepareError> {
    if form == Form::BFloat16 {
        for piece in stored.pieces(u64::MAX, NUMBERS) {
            buffers.fetch(file, &piece)?;
            if piece.encoding == Encoding::Plain(Number::Bf16) {
                target.write(&buffers.read)?;
            } else {
                buffers.expand(&piece, file)?;
                target.write(&buffers.brain)?;
            }
        }
        return Ok(());
    }
    for rows in row_pieces(stored) {
        let piece = rows.piece().ok_or_else(|| unread(file, stored))?;
        buffers.fetch(file, &piece)?;
        if is_form(stored.encoding, form) {
            // The numbers are what they would become: one more rounding would only lose.
            let [numbers, of_rows, ..] = *piece.parts();
            target.write(&buffers.read[numbers.at..][..numbers.bytes])?;
            let (chunks, _) = buffers.read[of_rows.at..][..of_rows.bytes].as_chunks::<4>();
            scales.extend(chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            continue;
        }
        buffers.expand(&piece, file)?;
        buffers.quantise(rows.row() as usize, form, scales);
        target.write(&buffers.out)?;
    }
    Ok(())
}

/// Whether a tensor has the form already.
fn is_form(encoding: Encoding, form: Form) -> bool {
    let Encoding::Scaled(format) = encoding else { return false };
    match form {
        Form::BFloat16 => false,
        Form::Float8(_) => format == ScaledFormat::Float8(Number::F8E4m3, ScaleScope::Row),
        Form::Int8(rotation, _) => format == ScaledFormat::Int8(ScaleScope::Row, rotation),
    }
}

/// The tensor in runs of whole rows; in one where its blocks cross rows.
fn row_pieces(stored: &StoredTensor) -> Vec<StoredTensor> {
    let rows = stored.shape.first().copied().unwrap_or(1);
    let step = (NUMBERS / stored.row().max(1)).max(1) as i64;
    let runs = (0..rows).step_by(step as usize);
    let runs = runs.map(|row| stored.narrow_rows(row..(row + step).min(rows)));
    runs.collect::<Result<_, _>>().unwrap_or_else(|_| vec![stored.clone()])
}

fn unread(file: &DataFile, stored: &StoredTensor) -> PrepareError {
    PrepareError::Checkpoint(Error::Encoding {
        name: "of a quantised layer".to_owned(),
        file: file.label.clone(),
        encoding: stored.encoding.to_string(),
    })
}

impl Buffers {
    /// Reads what the file has of a piece.
    fn fetch(&mut self, file: &DataFile, piece: &Piece) -> Result<(), PrepareError> {
        self.read.resize(piece.bytes(), 0);
        for part in piece.parts().iter().filter(|part| part.bytes > 0) {
            file.read_exact_at(&mut self.read[part.at..part.at + part.bytes], part.offset)?;
        }
        Ok(())
    }

    /// Expands what was read to bfloat16, as loading does.
    fn expand(&mut self, piece: &Piece, file: &DataFile) -> Result<(), PrepareError> {
        self.brain.resize(piece.numbers() * 2, 0);
        if expand(piece, &self.read, Number::Bf16, &mut self.brain) {
            return Ok(());
        }
        Err(PrepareError::Internal(format!("a tensor in {} of {}", piece.encoding, file.label)))
    }

    /// Makes 8-bit rows of the bfloat16 rows.
    fn quantise(&mut self, width: usize, form: Form, scales: &mut Vec<f32>) {
        let numbers = self.brain.len() / 2;
        self.out.resize(numbers, 0);
        self.single.resize(numbers, 0.0);
        widen(Number::Bf16, &self.brain, &mut self.single);
        let rows = self.single.chunks_exact(width).zip(self.out.chunks_exact_mut(width));
        match form {
            Form::BFloat16 => {}
            Form::Float8(_) => scales.extend(rows.map(|(row, out)| float8_row(row, out))),
            Form::Int8(rotation, _) => scales.extend(rows.map(|(row, out)| {
                self.double.clear();
                self.double.extend(row.iter().map(|&value| f64::from(value)));
                int8_row(&mut self.double, rotation, out)
            })),
        }
    }
}
