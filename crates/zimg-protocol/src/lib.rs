//! Messages, framing, limits and error codes between zimg, zimaged and its worker.
//!
//! A connection begins with 16 bytes each way ([`hello`]); then come frames ([`frame`]): a length,
//! a kind byte and a payload, which for messages ([`messages`]) is bincode ([`codec`]) and for
//! pixels is the pixels. `docs/protocol.md` has the bytes for other languages.
//!
//! No runtime lives here: blocking programs use [`Frame::read`] and [`Frame::write`]; tokio's
//! `LengthDelimitedCodec` (defaults, and `max_frame_length` from [`limits`]) yields the bodies
//! that [`Frame::decode`] and [`Frame::encode`] take and give.

pub mod codec;
pub mod error;
pub mod frame;
pub mod handover;
pub mod hello;
pub mod limits;
pub mod messages;

pub use error::{Failure, Kind};
pub use frame::{Frame, FrameError};
pub use handover::Handover;
pub use hello::{Hello, Welcome};
