//! Destinations of images: standard output, or files of a path and a format.

use std::path::{Path, PathBuf};

use zimg_image::ImageFormat;

/// Where each image goes, and the sheet with all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) images: ImageOutput,
    pub(crate) sheet: Option<SheetOutput>,
}

/// Where the images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageOutput {
    /// To standard output, one after the other.
    Stdout(ImageFormat),
    /// One file an image.
    Files(Vec<OutputFile>),
    /// Only onto the sheet.
    Nowhere,
}

/// Where the sheet goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SheetOutput {
    Stdout(ImageFormat),
    File(OutputFile),
}

/// A file to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputFile {
    pub(crate) path: PathBuf,
    pub(crate) format: ImageFormat,
    /// A pipe or a device: written to as it stands, not replaced.
    pub(crate) special: bool,
}

/// The directory that `path` lies in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
