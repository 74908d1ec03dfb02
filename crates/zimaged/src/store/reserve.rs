//! A file that takes up room, so that a full disk still has some for what makes room: SQLite writes
//! down what it is about to change before it takes a job out.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// As much as taking out the longest prompts can take for the time being.
const BYTES: usize = 256 << 10;

/// The file, if there was room for it.
#[derive(Debug)]
pub(super) struct Reserve(PathBuf);

impl Reserve {
    /// Makes the file unless it is there. Without room there is no reserve.
    pub(super) fn fill(path: PathBuf) -> Self {
        let reserve = Self(path);
        let there = fs::metadata(&reserve.0).is_ok_and(|file| file.len() == BYTES as u64);
        if !there && reserve.write().is_err() {
            let _ = fs::remove_file(&reserve.0);
        }
        reserve
    }

    /// Does something in the room of the reserve, which is taken up again then.
    pub(super) fn lend<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let _ = fs::remove_file(&self.0);
        let done = work();
        Self::fill(self.0.clone());
        done
    }

    fn write(&self) -> io::Result<()> {
        // Noise: some file systems make nothing of zeros.
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(|| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        });
        let noise: Vec<u8> = words.take(BYTES / 8).flatten().collect();
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&self.0)?;
        file.write_all(&noise)?;
        file.sync_all()
    }
}
