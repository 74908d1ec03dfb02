//! Oracles of files of weights.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use zimage_checkpoint::{Number, Piece, Source, StoredTensor, expand, read_tensors};

use super::within;

/// What a reader holds whatever the file has: a page of a header, and labels.
const PAGE: usize = 320 << 10;
/// The most bytes that are expanded of an input; the rest is as the first.
const EXPANDED: u64 = 64 << 10;

/// A GGUF file is understood or refused in one sentence.
pub fn gguf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GGUF") && weights(bytes)
}

/// A safetensors file, with ComfyUI's quantised layers, is understood or refused in one sentence.
pub fn safetensors(bytes: &[u8]) -> bool {
    !bytes.starts_with(b"GGUF") && weights(bytes)
}

/// What is understood lies within the file, and can be read in pieces and rows.
fn weights(bytes: &[u8]) -> bool {
    let Some(memory) = in_memory(bytes) else { return false };
    let source = Source::Folder(PathBuf::from("/proc/self/fd"));
    let Ok(mut file) = source.open(&memory.as_raw_fd().to_string()) else { return false };
    file.label = "W".to_owned();
    let tensors = match within(16 * bytes.len() + PAGE, || read_tensors(&file)) {
        Ok((tensors, _)) => tensors,
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains('W') && !said.contains('\n'), "{said}");
            return false;
        }
    };
    let length = bytes.len() as u64;
    let mut left = EXPANDED;
    for (name, stored) in &tensors {
        assert!(stored.offset + stored.bytes <= length, "{name}: {stored:?}");
        for companion in &stored.companions {
            assert!(companion.offset + companion.bytes <= length, "{name}: {stored:?}");
        }
        read(bytes, stored, &mut left);
        let rows = stored.shape.first().copied().unwrap_or(0);
        if let Ok(part) = stored.narrow_rows(rows / 2..rows) {
            assert!(part.offset >= stored.offset && part.bytes <= stored.bytes);
            assert_eq!(part.offset + part.bytes, stored.offset + stored.bytes, "{name}");
            read(bytes, &part, &mut left);
        }
        assert!(stored.narrow_rows(0..rows.saturating_add(1)).is_err() || rows == i64::MAX);
    }
    true
}

/// A file of these bytes.
fn in_memory(bytes: &[u8]) -> Option<File> {
    let mut file = File::from(memfd_create("weights", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(bytes).ok()?;
    Some(file)
}

/// Its pieces hold all of it and lie within the file; some of them are expanded.
fn read(file: &[u8], stored: &StoredTensor, left: &mut u64) {
    let mut numbers = 0;
    for piece in stored.pieces(4096, 4096).take(64) {
        for part in piece.parts() {
            assert!(part.offset as usize + part.bytes <= file.len(), "{stored:?}: {part:?}");
        }
        let more = piece.numbers() as u64;
        numbers += more;
        if more <= *left {
            *left -= more;
            expanded(file, &piece);
        }
    }
    assert!(numbers <= stored.numbers(), "{stored:?}");
}

fn expanded(file: &[u8], piece: &Piece) {
    let mut buffer = vec![0; piece.bytes()];
    for part in piece.parts() {
        let from = part.offset as usize;
        buffer[part.at..part.at + part.bytes].copy_from_slice(&file[from..from + part.bytes]);
    }
    for to in [Number::F32, Number::Bf16, Number::F16] {
        let mut out = vec![0; piece.numbers() * to.bytes() as usize];
        assert!(expand(piece, &buffer, to, &mut out), "{piece:?}");
    }
}
