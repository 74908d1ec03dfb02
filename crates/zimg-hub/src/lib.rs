//! Fetching checkpoints from the Hugging Face Hub, or a mirror of it, into the ordinary cache.
//!
#![doc = include_str!("../README.md")]

mod cache;
mod digest;
mod disk;
mod download;
mod environment;
mod error;
mod event;
mod http;
mod hub;
mod listing;
mod names;
mod origin;
mod plan;
mod pull;
mod retry;
mod select;
mod stop;

pub use cache::{Cache, CachedRepository};
pub use digest::ContentHash;
pub use disk::free_bytes;
pub use environment::{HubSettings, Timings, Token};
pub use error::{Error, Result};
pub use event::Event;
pub use hub::Hub;
pub use listing::{Listing, RemoteFile};
pub use names::{Commit, FilePath, ModelRequest, Repository, Revision};
pub use plan::{Plan, PlannedFile};
pub use pull::pull;
pub use select::{Choice, Companion, Parts, choose, choose_lora};
pub use stop::Stop;
