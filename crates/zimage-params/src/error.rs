//! What can be wrong with parameters.

use std::fmt;

use zimg_text::Control;

use crate::limits::SIZE_MIN;
use crate::parameter::{Alias, Parameter, Range};
use crate::value::{Value, ValueKind};

/// Why parameters are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// No row has this name.
    #[error("parameter `{name}` is unknown")]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// The value is of another type.
    #[error("`{name}` is {found}, expected {expected}", name = parameter.name, expected = parameter.kind())]
    WrongKind {
        /// The parameter.
        parameter: &'static Parameter,
        /// The value's type.
        found: ValueKind,
    },
    /// The value is outside the parameter's range.
    #[error("`{name}` {found}, expected {expected}", name = parameter.name,
        found = Found(found), expected = expected.in_words())]
    OutOfRange {
        /// The parameter.
        parameter: &'static Parameter,
        /// The value.
        found: Value,
        /// The values that are valid.
        expected: Range,
    },
    /// The value under another program's name corresponds to no value of the parameter.
    #[error("`{name}` {found}, expected {expected}", name = alias.name,
        found = Found(found), expected = expected.in_words())]
    AliasOutOfRange {
        /// The name that was given.
        alias: Alias,
        /// The value under this name.
        found: Value,
        /// The values under this name that are valid.
        expected: Range,
    },
    /// The text has a character that no text has.
    #[error("`{name}` has the control character {found}, expected text", name = parameter.name)]
    Control {
        /// The parameter.
        parameter: &'static Parameter,
        /// The character and its place.
        found: Control,
    },
    /// The seeds of a series would wrap at 2^64.
    #[error("`seed` is {seed} and {images} images are asked for: seeds would exceed 2^64-1")]
    SeedOverflow {
        /// The seed of the first image.
        seed: u64,
        /// How many images.
        images: u64,
    },
    /// A parameter of the initial image is given without one.
    #[error("`{name}` is {found} and there is no initial image", name = parameter.name)]
    NoInitialImage {
        /// The parameter.
        parameter: &'static Parameter,
        /// The value.
        found: Value,
    },
    /// An image of this size cannot begin as much smaller.
    #[error("`hires` is {factor} and the size {}x{}: the image would begin at {}x{}, expected sides of \
             at least {SIZE_MIN}", size.0, size.1, first.0, first.1)]
    HiresTooSmall {
        /// The factor of the second pass.
        factor: f32,
        /// The size of the image.
        size: (u32, u32),
        /// The size of the first pass.
        first: (u32, u32),
    },
    /// A second pass is asked for of an image that begins with others.
    #[error("`{name}` is {found} and the request has images to begin with", name = parameter.name)]
    HiresOfImage {
        /// The parameter.
        parameter: &'static Parameter,
        /// The value.
        found: Value,
    },
    /// The parameter is in a list more than once.
    #[error("`{name}` is given twice", name = parameter.name)]
    Duplicate {
        /// The parameter.
        parameter: &'static Parameter,
    },
}

impl ParamsError {
    pub(crate) fn out_of_range(
        parameter: &'static Parameter,
        expected: Range,
        found: &Value,
    ) -> Self {
        Self::OutOfRange { parameter, found: found.clone(), expected }
    }

    /// What to give instead, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OutOfRange { found, expected, .. } => {
                let nearest = expected.nearest(found)?;
                Some(format!("the nearest valid value is {nearest}"))
            }
            Self::AliasOutOfRange { alias, .. } => Some(format!(
                "{name} 1 is guidance 0, which is off: guidance is {name} - 1",
                name = alias.name
            )),
            Self::Control { found, .. } => Some(match found.character {
                '\r' => "end lines with a line feed alone".to_owned(),
                '\u{80}'..='\u{9f}' => {
                    "convert the text again from the encoding that it was saved in: such \
                     characters are what is left of quotes and dashes in WINDOWS-1252"
                        .to_owned()
                }
                _ => "remove it".to_owned(),
            }),
            Self::SeedOverflow { images, .. } => {
                Some(format!("use a seed of at most {}", u64::MAX - images.saturating_sub(1)))
            }
            Self::NoInitialImage { parameter, .. } => {
                Some(format!("give an initial image, or omit `{}`", parameter.name))
            }
            Self::HiresTooSmall { size, .. } => {
                // Rounded down to tenths.
                let most = size.0.min(size.1) * 10 / SIZE_MIN;
                let most = f64::from(most) / 10.0;
                Some(format!("use a `hires` of at most {most}, or a larger size"))
            }
            Self::HiresOfImage { parameter, .. } => Some(format!(
                "omit `{}`: an initial image is drawn larger with a larger size and a `strength`",
                parameter.name
            )),
            Self::Unknown { .. } | Self::WrongKind { .. } | Self::Duplicate { .. } => None,
        }
    }
}

/// A value in a sentence: long text is not repeated.
struct Found<'a>(&'a Value);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Text(text) => write!(f, "has {} bytes", text.len()),
            value => write!(f, "is {value}"),
        }
    }
}
