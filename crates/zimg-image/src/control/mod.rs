//! Control images: what a ControlNet is given, made of an image's pixels.

mod canny;
mod kind;
mod record;

pub use kind::{ControlKind, OtherKind};
pub use record::ControlRecord;
