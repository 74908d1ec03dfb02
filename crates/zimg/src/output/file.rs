//! Destinations of images: standard output, or files of a path and a format.

use std::path::{Path, PathBuf};

use zimg_image::ImageFormat;

/// The destinations of the images and of the contact sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) images: ImageOutput,
    pub(crate) sheet: Option<SheetOutput>,
}

/// The destinations of the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageOutput {
    /// Standard output, one after the other.
    Stdout(ImageFormat),
    /// One file per image.
    Files(Vec<OutputFile>),
    /// None: only the contact sheet is written.
    Nowhere,
}

/// The destination of the contact sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SheetOutput {
    Stdout(ImageFormat),
    File(OutputFile),
}

/// An output file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputFile {
    pub(crate) path: PathBuf,
    pub(crate) format: ImageFormat,
    /// A pipe or a device: written to, not replaced.
    pub(crate) special: bool,
}

/// The directory of `path`.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
