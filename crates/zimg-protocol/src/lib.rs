//! Messages, framing, limits and error codes between zimg, zimaged and its worker.

pub mod error;
pub mod messages;
