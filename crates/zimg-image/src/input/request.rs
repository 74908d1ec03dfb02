//! What is asked of images to start from, and what they become.

use serde::{Deserialize, Serialize};

/// What to make of the files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputRequest {
    /// The size of what is generated.
    pub size: InputSize,
    /// What happens to an image of another shape.
    pub fit: InputFit,
    /// What is added around the image.
    pub margins: InputMargins,
    /// Which parts may change.
    pub mask: MaskChoice,
    /// Whether the mask's black parts change instead of its white ones.
    pub invert_mask: bool,
    /// The deviation of the Gaussian that softens the mask, in pixels of what is generated.
    pub mask_blur: f32,
}

/// How width and height are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum InputSize {
    /// Those of the image with its margins, within the limits.
    #[default]
    OfImage,
    /// These, in pixels.
    Exact(u32, u32),
    /// A shape and a number of pixels; those of the image where they are not given.
    Shape {
        /// Width divided by height.
        aspect: Option<f64>,
        /// Width times height.
        pixels: Option<f64>,
    },
}

/// What happens to an image whose shape is not that of what is generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputFit {
    /// Its edges are cut off, on both sides alike.
    #[default]
    Crop,
    /// Borders are added, in the colours of its edges.
    Pad,
    /// It is stretched.
    Stretch,
}

/// Pixels of the image, as it is shown, that are added on each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputMargins {
    /// On the left.
    pub left: u32,
    /// At the top.
    pub top: u32,
    /// On the right.
    pub right: u32,
    /// At the bottom.
    pub bottom: u32,
}

/// Where the mask is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaskChoice {
    /// The image's transparent parts, if it has any.
    #[default]
    TransparentParts,
    /// The image's transparent parts: one that has none is refused.
    Alpha,
    /// The file of the mask: white parts may change.
    File,
    /// The file of the mask: transparent parts may change (OpenAI's images API).
    FileAlpha,
    /// There is none: transparent parts are white.
    None,
}

/// The pixels of a job's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputImages {
    /// Width of both, as the model takes it.
    pub width: u32,
    /// Height of both.
    pub height: u32,
    /// The initial image: 8-bit sRGB, rows from the top.
    pub rgb: Vec<u8>,
    /// The mask, if there is one: a byte a pixel, of which 255 may change and 0 stays.
    pub mask: Option<Vec<u8>>,
    /// What was done to the image, in words after its name; never empty.
    pub done: String,
}

impl InputMargins {
    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}
