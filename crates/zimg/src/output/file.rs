//! Destinations of images: open descriptors, or files of a path and a format.

use std::path::{Path, PathBuf};

use zimg_image::ImageFormat;

use super::descriptor::Descriptor;

/// The destinations of the images and of the contact sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) images: ImageOutput,
    pub(crate) sheet: Option<SheetOutput>,
}

/// The destinations of the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageOutput {
    /// An open descriptor, such as standard output: one after the other.
    Descriptor(Descriptor, ImageFormat),
    /// One file per image.
    Files(Vec<OutputFile>),
    /// None: only the contact sheet is written.
    Nowhere,
}

/// The destination of the contact sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SheetOutput {
    Descriptor(Descriptor, ImageFormat),
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

impl Output {
    /// Whether an image goes to this descriptor.
    pub(crate) fn has(&self, descriptor: Descriptor) -> bool {
        matches!(self.images, ImageOutput::Descriptor(to, _) if to == descriptor)
            || matches!(self.sheet, Some(SheetOutput::Descriptor(to, _)) if to == descriptor)
    }
}

/// The directory of `path`.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
