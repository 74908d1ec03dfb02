//! The reserve file: occupied disk space that is released on a full disk, so that jobs can still be
//! deleted. SQLite journals what it is about to change before it deletes a row.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::sync::sync;

/// What deleting the record with the longest prompts takes temporarily.
const BYTES: usize = 256 << 10;

/// The file, if there was space for it.
#[derive(Debug)]
pub(super) struct ReserveFile(PathBuf);

impl ReserveFile {
    /// Creates the file unless it exists. Without space there is no reserve.
    pub(super) fn fill(path: PathBuf) -> Self {
        let reserve = Self(path);
        let exists = fs::metadata(&reserve.0).is_ok_and(|file| file.len() == BYTES as u64);
        if !exists && reserve.write().is_err() {
            let _ = fs::remove_file(&reserve.0);
        }
        reserve
    }

    /// Runs `work` with the reserve's space free, then fills the reserve again.
    pub(super) fn lend<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let _ = fs::remove_file(&self.0);
        let done = work();
        Self::fill(self.0.clone());
        done
    }

    fn write(&self) -> io::Result<()> {
        // Noise (xorshift): some file systems store zeros in no space.
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
        sync(&file)
    }
}
