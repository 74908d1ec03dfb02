//! What a request is read with.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::App;

/// What a request is read with.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The name of the served model, if it is known.
    pub(crate) model: Option<String>,
    /// The seed of a request that leaves it open: short enough to type again.
    pub(crate) random_seed: u32,
    /// Whether steps and guidance of A1111 requests count.
    pub(crate) obey: bool,
}

impl Context {
    /// For a request that has come now.
    pub(crate) async fn of(app: &App) -> Self {
        // A daemon that does not answer says so when the job is submitted.
        let model = app.daemon.model().await.ok().map(|model| model.name.clone());
        Self { model, random_seed: random_seed(), obey: app.config.obey_steps }
    }
}

fn random_seed() -> u32 {
    let mut bytes = [0; 4];
    match getrandom(&mut bytes[..], GetRandomFlags::empty()) {
        Ok(4) => u32::from_ne_bytes(bytes),
        // Any number will do.
        _ => now() as u32,
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
