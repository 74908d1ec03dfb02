//! Files that are no text, known by their first bytes.

/// The first bytes, and what such a file is.
const TYPES: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image, a sound or a video"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive, as spreadsheets and office documents are"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"{\\rtf", "a rich text document"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"BZh9", "compressed with bzip2"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"PAR1", "a Parquet file"),
];

/// What a file with these first bytes is, if it is known and no text.
pub(crate) fn file_type(bytes: &[u8]) -> Option<&'static str> {
    TYPES.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, name)| *name)
}
