//! Configurations: the dimensions of each component, and the checks that they are supported.

mod embedded;
mod inferred;
mod scheduler;
mod text_encoder;
mod transformer;
mod vae;

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;

pub(crate) use self::embedded::Configurations;
pub(crate) use self::inferred::{Shapes, TextEncoderFacts};
pub use self::scheduler::SchedulerConfig;
pub use self::text_encoder::TextEncoderConfig;
pub use self::transformer::TransformerConfig;
pub use self::vae::VaeConfig;

use crate::content_check::check_json;
use crate::error::{Error, Result};
use crate::json;

/// The largest width, head count or position table: products of two stay far from overflow.
pub(super) const WIDTHS: RangeInclusive<i64> = 1..=1 << 17;

/// The most layers.
pub(super) const LAYERS: RangeInclusive<i64> = 1..=1024;

/// The largest vocabulary.
pub(super) const VOCABULARY: RangeInclusive<i64> = 1..=1 << 24;

/// Parses JSON; the error says where, or what the file holds instead.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T> {
    check_json(file, bytes)?;
    json::object(bytes).map_err(|reason| Error::Json { file: file.to_owned(), reason })
}

/// Checks of one file's values; each error names the file, the key, what it is and must be.
pub(crate) struct Check<'a> {
    /// The file, as messages call it.
    pub(crate) file: &'a str,
}

impl Check<'_> {
    /// A whole number within bounds.
    fn within(&self, key: &str, value: i64, bounds: &RangeInclusive<i64>) -> Result<()> {
        let (least, most) = (bounds.start(), bounds.end());
        self.that(bounds.contains(&value), || {
            format!("{key} is {value}, but must be from {least} to {most}")
        })
    }

    /// A finite number above 0.
    fn positive(&self, key: &str, value: f64) -> Result<()> {
        self.that(value.is_finite() && value > 0.0, || {
            format!("{key} is {value}, but must be above 0")
        })
    }

    /// A setting of which only one value is implemented.
    fn only<T: PartialEq + std::fmt::Debug>(&self, key: &str, value: &T, known: &T) -> Result<()> {
        self.that(value == known, || format!("{key} is {value:?}, but only {known:?} is supported"))
    }

    /// Two dimensions that must be equal.
    pub(crate) fn same(&self, left: (&str, i64), right: (&str, i64)) -> Result<()> {
        self.that(left.1 == right.1, || {
            format!("{} is {}, but {} is {}", left.0, left.1, right.0, right.1)
        })
    }

    /// `whole` must be a multiple of `part`, which is above 0.
    fn divides(&self, part: (&str, i64), whole: (&str, i64)) -> Result<()> {
        self.that(whole.1 % part.1 == 0, || {
            format!("{} is {}, which is no multiple of {}, {}", whole.0, whole.1, part.0, part.1)
        })
    }

    /// A width that is rotated in pairs.
    fn even(&self, key: &str, value: i64) -> Result<()> {
        self.that(value % 2 == 0, || format!("{key} is {value}, which must be even"))
    }

    /// Any other condition.
    fn that(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(self.error(reason())) }
    }

    /// An error about the file.
    pub(crate) fn error(&self, reason: String) -> Error {
        Error::Config { file: self.file.to_owned(), reason }
    }
}
