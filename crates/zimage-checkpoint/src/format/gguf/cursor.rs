//! A cursor over a header whose length is not known: each read is bounded before it allocates.

use sha2::{Digest, Sha256};

use crate::digest::hexadecimal;
use crate::error::Error;
use crate::source::DataFile;

/// The longest header that is read. The vocabulary of Qwen3 has 6 MB.
const HEADER_LIMIT: u64 = 64 << 20;

/// Bytes of one read of the file.
const PAGE: usize = 256 << 10;

/// What is wrong with a file.
pub(super) enum Bad {
    /// It cannot be read.
    Read(Error),
    /// The header is damaged, and how.
    Header(String),
    /// It ends before its last tensor, which ends here.
    Truncated(u64),
}

impl From<Error> for Bad {
    fn from(error: Error) -> Self {
        Self::Read(error)
    }
}

/// The result of parsing.
pub(super) type Parsed<T> = Result<T, Bad>;

/// Reads one value after another.
pub(super) struct Cursor<'a> {
    file: &'a DataFile,
    /// The bytes of the file from `at` - `next` on.
    page: Vec<u8>,
    /// The next byte of the page.
    next: usize,
    /// The offset of the next byte.
    at: u64,
    digest: Sha256,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a DataFile) -> Self {
        Self { file, page: Vec::new(), next: 0, at: 0, digest: Sha256::new() }
    }

    /// The bytes of the file that can still belong to the header.
    pub(super) fn left(&self) -> u64 {
        self.file.len.min(HEADER_LIMIT) - self.at
    }

    fn check(&self, bytes: u64) -> Parsed<()> {
        if bytes <= self.left() {
            return Ok(());
        }
        Err(Bad::Header(if self.file.len > HEADER_LIMIT {
            format!("its header is longer than {HEADER_LIMIT} bytes")
        } else {
            format!("its header needs {bytes} bytes at {}, but {} follow", self.at, self.left())
        }))
    }

    /// The bytes that are in memory, at most `most` and at least one.
    fn buffered(&mut self, most: u64) -> Parsed<&[u8]> {
        if self.next == self.page.len() {
            self.digest.update(&self.page);
            let page = self.left().min(PAGE as u64) as usize;
            self.page.resize(page, 0);
            self.next = 0;
            self.file.read_exact_at(&mut self.page, self.at)?;
        }
        let found = (self.page.len() - self.next).min(usize::try_from(most).unwrap_or(usize::MAX));
        let begin = self.next;
        self.next += found;
        self.at += found as u64;
        Ok(&self.page[begin..self.next])
    }

    /// Skips `bytes` bytes.
    pub(super) fn skip(&mut self, bytes: u64) -> Parsed<()> {
        self.check(bytes)?;
        let mut left = bytes;
        while left > 0 {
            left -= self.buffered(left)?.len() as u64;
        }
        Ok(())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        self.check(N as u64)?;
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            let found = self.buffered((N - filled) as u64)?;
            bytes[filled..filled + found.len()].copy_from_slice(found);
            filled += found.len();
        }
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Parsed<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(super) fn u64(&mut self) -> Parsed<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// A count of things that have at least `each` bytes.
    pub(super) fn count(&mut self, things: &str, each: u64) -> Parsed<u64> {
        let count = self.u64()?;
        if count > self.left() / each {
            return Err(Bad::Header(format!(
                "its header claims {count} {things}, but only {} bytes follow",
                self.left()
            )));
        }
        Ok(count)
    }

    /// A text of at most `limit` bytes; a longer one is skipped.
    pub(super) fn text(&mut self, limit: u64) -> Parsed<Option<String>> {
        let length = self.u64()?;
        self.check(length)?;
        if length > limit {
            self.skip(length)?;
            return Ok(None);
        }
        let mut text = Vec::with_capacity(length as usize);
        while (text.len() as u64) < length {
            let found = self.buffered(length - text.len() as u64)?;
            text.extend_from_slice(found);
        }
        let text = String::from_utf8(text);
        text.map(Some).map_err(|_| Bad::Header("a text in its header is not UTF-8".to_owned()))
    }

    /// The length of what was read, and its SHA-256.
    pub(super) fn finish(mut self) -> (u64, String) {
        self.digest.update(&self.page[..self.next]);
        (self.at, hexadecimal(self.digest.finalize().as_slice()))
    }
}
