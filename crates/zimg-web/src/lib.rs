//! The HTTP service of zimg: the page, its API, OpenAI's images API and A1111's, as one more client
//! of zimaged.
//!
#![doc = include_str!("../README.md")]

pub mod a1111;
pub mod access;
mod args;
mod assets;
mod browser;
pub mod daemon;
mod events;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod headers;
mod health;
mod json_files;
pub mod log;
pub mod openai;
mod ours;
pub mod problem;
mod router;
pub mod server;
mod start;
mod status;
pub mod tracker;
mod translate;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;

pub use args::Args;
pub use events::START_FAILED;
pub use start::{new_key, serve};

use access::Access;
use daemon::Daemon;
use status::FrontInfo;
use tracker::Tracker;

/// What every route has.
#[derive(Clone, Debug)]
pub struct App {
    /// The daemon.
    pub daemon: Daemon,
    /// Detached jobs of the users that have a page open.
    pub tracker: Tracker,
    /// Who may ask.
    pub access: Access,
    /// What the program was started with.
    pub config: Arc<Config>,
}

/// What the program was started with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Whether steps and guidance of OpenAI's and A1111's clients count.
    pub obey_steps: bool,
    /// The address of this server as its users have it, without a slash at its end.
    pub public_url: Option<String>,
    /// Where the page's files are during development.
    pub page_dir: Option<PathBuf>,
}

impl Config {
    /// What the status says of this process.
    pub(crate) fn front(&self) -> FrontInfo {
        FrontInfo { obey_steps: self.obey_steps }
    }

    /// Whether browsers come over TLS, so that cookies are sent over it alone.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }
}
