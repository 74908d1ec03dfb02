//! Checksums of files as the Hub has them: SHA-256 of what LFS or Xet stores, git's SHA-1 of the rest.

use std::fmt::{self, Write as _};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::names::is_hex;

/// The checksum of a file's content; as text it is the file's ETag and the name of its blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentHash {
    /// SHA-256 of the content.
    Sha256(String),
    /// SHA-1 of `blob LENGTH\0` and the content, as git names it.
    GitBlob(String),
}

impl ContentHash {
    /// From an ETag or a field of the API: 64 digits or 40.
    pub fn parse(text: &str) -> Option<Self> {
        match () {
            () if is_hex(text, 64) => Some(Self::Sha256(text.to_owned())),
            () if is_hex(text, 40) => Some(Self::GitBlob(text.to_owned())),
            () => None,
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        let (Self::Sha256(text) | Self::GitBlob(text)) = self;
        text
    }

    /// Begins to compute the checksum of a file of this length.
    pub(crate) fn hasher(&self, length: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::GitBlob(_) => Hasher::GitBlob(Sha1::new_with_prefix(format!("blob {length}\0"))),
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A checksum while it is computed.
pub(crate) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => digits(&hasher.finalize()),
            Self::GitBlob(hasher) => digits(&hasher.finalize()),
        }
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_sha256sum_and_git() {
        let hash = |kind: &str, text: &str| {
            let mut hasher = ContentHash::parse(kind).unwrap().hasher(text.len() as u64);
            hasher.update(text.as_bytes());
            hasher.finish()
        };
        // `printf hello | sha256sum`, `printf hello | git hash-object --stdin`
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(hash(sha256, "hello"), sha256);
        let blob = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
        assert_eq!(hash(blob, "hello"), blob);
    }

    #[test]
    fn other_etags_are_no_checksums() {
        for text in ["", "abc", "W/\"1\"", &"g".repeat(64), &"A".repeat(40), &"0".repeat(65)] {
            assert_eq!(ContentHash::parse(text), None, "{text}");
        }
    }
}
