//! The protocol between zimaged and its clients: messages, framing, limits and error kinds.
//!
#![doc = include_str!("../README.md")]

pub mod codec;
pub mod error;
pub mod frame;
pub mod framing;
pub mod hello;
pub mod home;
pub mod limits;
pub mod messages;

pub use error::{Failure, Kind};
pub use frame::Frame;
pub use framing::FrameError;
pub use hello::{Hello, Welcome};
