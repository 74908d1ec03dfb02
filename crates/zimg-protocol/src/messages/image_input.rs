//! Images that a request brings: their role, their pixels' layout, and where the pixels are.

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::limits::image_bytes;

/// An image that a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInput {
    /// What the model does with it.
    pub role: ImageRole,
    /// How its pixels lie in memory.
    pub layout: PixelLayout,
    /// Width in pixels, within the limits of generated images.
    pub width: u32,
    /// Height in pixels, likewise.
    pub height: u32,
    /// Where its pixels are.
    pub source: ImageSource,
}

/// What the model does with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageRole {
    /// The image to start from.
    Initial,
    /// Which parts of the initial image may change.
    Mask,
    /// A control image, such as edges or depth.
    Control,
}

/// How pixels lie in memory: rows from the top, no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PixelLayout {
    /// Three bytes a pixel: red, green, blue.
    Rgb8,
    /// One byte a pixel.
    L8,
}

/// Where an image's pixels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageSource {
    /// In the request's descriptor of this index: a sealed memfd, passed as `SCM_RIGHTS` with the
    /// request's first byte.
    Attached {
        /// From 0.
        index: u32,
    },
    /// In `kind::IMAGE` frames after the request, in the order of the images.
    Inline,
}

impl ImageRole {
    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initial => "initial image",
            Self::Mask => "mask",
            Self::Control => "control image",
        }
    }

    /// The layout that its pixels have.
    pub fn layout(self) -> PixelLayout {
        match self {
            Self::Initial | Self::Control => PixelLayout::Rgb8,
            Self::Mask => PixelLayout::L8,
        }
    }
}

impl PixelLayout {
    /// Bytes of a pixel.
    pub fn bytes(self) -> usize {
        match self {
            Self::Rgb8 => 3,
            Self::L8 => 1,
        }
    }

    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgb8 => "three bytes a pixel (RGB)",
            Self::L8 => "one byte a pixel (grey)",
        }
    }
}

impl ImageInput {
    /// Bytes of its pixels.
    ///
    /// # Errors
    ///
    /// `Kind::Refused`: its size is outside the limits.
    pub fn bytes(&self) -> Result<usize, Failure> {
        let Self { role, layout, width, height, .. } = *self;
        let rgb = image_bytes(width, height).ok_or_else(|| {
            Failure::refused(format!(
                "the {} is {width}x{height}, expected sides that are multiples of 16 from 64 to \
                 2048",
                role.name()
            ))
        })?;
        Ok(rgb / PixelLayout::Rgb8.bytes() * layout.bytes())
    }
}
