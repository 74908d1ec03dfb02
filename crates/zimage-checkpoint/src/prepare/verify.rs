//! Verification of a prepared file: the checksums of its header and of every tensor.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::PrepareError;
use super::header::ZEROS;
use super::record::{CHECKSUM, DTYPE, ORIGIN, Origin, SHA256};
use crate::digest::{hexadecimal, sha256};
use crate::error::{Error, Result};
use crate::format::{MetadataValue, safetensors};
use crate::source::{DataFile, open_regular};

/// Bytes that are read at once.
const CHUNK: usize = 4 << 20;
/// The most threads that read.
const THREADS: usize = 8;
/// How often progress is reported.
const PACE: Duration = Duration::from_millis(100);

/// A prepared file whose checksums are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The name of its origin.
    pub origin: String,
    /// The transformer's type.
    pub dtype: String,
    /// The checksum of its header, and by that of everything.
    pub checksum: String,
    /// Its tensors.
    pub tensors: usize,
    /// Its length.
    pub bytes: u64,
}

/// Where a tensor lies.
#[derive(Deserialize)]
struct Place {
    data_offsets: (u64, u64),
}

/// One tensor to be compared.
struct Sum<'a> {
    name: &'a str,
    at: u64,
    bytes: u64,
    expected: &'a str,
}

/// Reads all of the prepared file at `path` and compares its checksums. `on_progress` is called with
/// the bytes read, and ends it by false.
///
/// # Errors
/// When it is damaged, is no prepared file, cannot be read, or `on_progress` ends it.
pub fn verify_prepared(
    path: &Path,
    on_progress: &mut dyn FnMut(u64) -> bool,
) -> std::result::Result<Verification, PrepareError> {
    let file = open_regular(path, path.display().to_string())?;
    let label = || file.label.clone();
    // Bounds the header's length and checks the tensors' places.
    let metadata = safetensors::read(&file)?.metadata;
    let text = |key: &str| metadata.get(key).and_then(MetadataValue::text);
    let (Some(checksum), Some(sums)) = (text(CHECKSUM), text(SHA256)) else {
        return Err(PrepareError::NotPrepared { file: label() });
    };
    let header = header(&file)?;
    let without = header.replacen(checksum, ZEROS, 1);
    if checksum.len() != ZEROS.len() || sha256(without.as_bytes()) != checksum {
        return Err(PrepareError::Header { file: label() });
    }
    let damaged = |_| PrepareError::Header { file: label() };
    let sums: BTreeMap<String, String> = serde_json::from_str(sums).map_err(damaged)?;
    let places: BTreeMap<String, Value> = serde_json::from_str(&header).map_err(damaged)?;
    let begin = 8 + header.len() as u64;
    let mut tensors = Vec::with_capacity(sums.len());
    for (name, expected) in &sums {
        let place = places.get(name).cloned().map(serde_json::from_value::<Place>);
        let Some(Ok(Place { data_offsets: (from, to) })) = place else {
            return Err(PrepareError::Header { file: label() });
        };
        tensors.push(Sum { name, at: begin + from, bytes: to.saturating_sub(from), expected });
    }
    let wrong = compare(&file, &tensors, on_progress)?;
    if !wrong.is_empty() {
        return Err(PrepareError::Damaged { file: label(), tensors: wrong });
    }
    let origin: Option<Origin> = text(ORIGIN).and_then(|text| serde_json::from_str(text).ok());
    Ok(Verification {
        origin: origin.map(|origin| origin.name).unwrap_or_default(),
        dtype: text(DTYPE).unwrap_or_default().to_owned(),
        checksum: checksum.to_owned(),
        tensors: tensors.len(),
        bytes: file.len,
    })
}

/// The text of the header, whose length was checked.
fn header(file: &DataFile) -> std::result::Result<String, PrepareError> {
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0)?;
    let length = u64::from_le_bytes(length).min(file.len);
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, 8)?;
    String::from_utf8(text).map_err(|_| PrepareError::Header { file: file.label.clone() })
}

/// The names of tensors whose bytes have another checksum.
fn compare(
    file: &DataFile,
    tensors: &[Sum<'_>],
    on_progress: &mut dyn FnMut(u64) -> bool,
) -> std::result::Result<Vec<String>, PrepareError> {
    let (next, read, stopped) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let wrong = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        while let Some(sum) = tensors.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut digest = Sha256::new();
            let (mut at, end) = (sum.at, sum.at + sum.bytes);
            while at < end && !stopped.load(Ordering::Relaxed) {
                let chunk = &mut buffer[..(end - at).min(CHUNK as u64) as usize];
                file.read_exact_at(chunk, at)?;
                digest.update(&*chunk);
                at += chunk.len() as u64;
                read.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            if hexadecimal(digest.finalize().as_slice()) != sum.expected {
                wrong.lock().unwrap_or_else(PoisonError::into_inner).push(sum.name.to_owned());
            }
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let outcome: Result<()> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        while running.iter().any(|thread| !thread.is_finished()) {
            if !on_progress(read.load(Ordering::Relaxed)) {
                stopped.store(true, Ordering::Relaxed);
            }
            thread::park_timeout(PACE);
        }
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(lost(file))))
    });
    outcome?;
    if stopped.into_inner() {
        return Err(PrepareError::Stopped);
    }
    let mut wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    wrong.sort_unstable();
    Ok(wrong)
}

/// What is said of a thread that panicked.
fn lost(file: &DataFile) -> Error {
    Error::Shrunk { file: file.label.clone() }
}
