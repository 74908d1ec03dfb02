//! Errors of encoding images and of reading their metadata.

use std::path::PathBuf;
use std::{fmt, io};

use crate::file_kind::FileKind;

/// Why an image cannot be encoded, or a file's metadata not be read.
#[derive(Debug)]
pub enum Error {
    /// The number of bytes is not 3 · width · height, or a side is 0.
    PixelCount {
        /// The width that was given.
        width: u32,
        /// The height that was given.
        height: u32,
        /// The bytes that were given.
        bytes: usize,
    },
    /// The encoder refuses the image.
    Encode(String),
    /// The file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path is a directory.
    Directory(PathBuf),
    /// The file is longer than any image of this model.
    TooLong {
        /// The file.
        path: PathBuf,
        /// The longest file that is read, in MiB.
        limit_mib: u64,
    },
    /// The file is not a PNG, JPEG or WebP file.
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What it is, if that is known.
        kind: Option<FileKind>,
    },
}

impl Error {
    pub(crate) fn encode(error: impl fmt::Display) -> Self {
        Self::Encode(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PixelCount { width, height, bytes } => {
                write!(
                    f,
                    "an image of {width}x{height} has {bytes} bytes of pixels, expected 3 a pixel"
                )
            }
            Self::Encode(reason) => write!(f, "cannot encode the image: {reason}"),
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Directory(path) => write!(f, "{} is a directory", path.display()),
            Self::TooLong { path, limit_mib } => {
                write!(f, "{} is longer than {limit_mib} MiB", path.display())
            }
            Self::NotAnImage { path, kind: Some(kind) } => {
                let shown = path.display();
                write!(f, "{shown} is {}, expected a PNG, JPEG or WebP file", kind.name())
            }
            Self::NotAnImage { path, kind: None } => {
                write!(f, "{} is not a PNG, JPEG or WebP file", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}
