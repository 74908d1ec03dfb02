//! Ctrl-C: the first asks the daemon to stop at the next step, the second ends zimg at once.

use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use zimg_client::{Canceller, Failure, Kind};

/// The thread that waits for signals, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<Mutex<Option<Canceller>>>);

impl Interrupt {
    /// Takes SIGINT, SIGTERM and SIGHUP from now on, before any other thread starts.
    ///
    /// # Errors
    ///
    /// `Internal`: the system refuses.
    pub(crate) fn install() -> Result<Self, Failure> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let refused = |error| Failure::new(Kind::Internal, format!("cannot take signals: {error}"));
        signals.thread_block().map_err(|error| refused(error.into()))?;
        let interrupt = Self(Arc::default());
        let state = interrupt.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || state.obey(signals))
            .map_err(refused)?;
        Ok(interrupt)
    }

    /// From now on the first Ctrl-C cancels this job.
    pub(crate) fn cancels(&self, canceller: Canceller) {
        *self.hold() = Some(canceller);
    }

    /// While this is held no signal ends the process: a temporary file is never left behind.
    pub(crate) fn hold(&self) -> MutexGuard<'_, Option<Canceller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn obey(&self, signals: SigSet) {
        while let Ok(signal) = signals.wait() {
            let mut canceller = self.hold();
            if signal == Signal::SIGINT
                && let Some(mut canceller) = canceller.take()
                && canceller.cancel().is_ok()
            {
                continue;
            }
            process::exit(128 + signal as i32);
        }
    }
}
