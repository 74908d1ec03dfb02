//! Free space, and sizes in words.

use std::path::Path;

/// Bytes that this user can still write below `folder`, or below the nearest folder above it that
/// exists. None if the file system does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    // A file system that counts nothing, such as some network ones.
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes in a unit that leaves about three digits.
pub(crate) fn in_words(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e3 => format!("{b} B"),
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_that_of_the_nearest_folder() {
        let folder = tempfile::tempdir().unwrap();
        let there = free_bytes(folder.path()).unwrap();
        assert!(there > 0);
        assert!(free_bytes(&folder.path().join("a/b/c")).is_some());
        assert_eq!(in_words(12_309_817_472), "12.3 GB");
    }
}
