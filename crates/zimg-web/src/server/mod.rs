//! The HTTP server: connections accepted within limits, and what each may take of time and memory.
//!
//! `axum::serve` installs no timer, so that hyper's timeout for headers does nothing there
//! (tokio-rs/axum 2741); the loop is therefore ours.

mod accept;
pub(crate) mod body;
pub(crate) mod limits;
mod listener;
pub(crate) mod multipart;
mod register;
mod stream;

pub(crate) use accept::serve;
pub use listener::{Listener, ListenerError};
