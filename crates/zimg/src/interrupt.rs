//! Ctrl-C: the first asks the daemon to stop at the next step, the second ends zimg at once.

use std::io::{self, Write};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use zimg_client::{Canceller, Failure, Kind};

/// The thread that waits for signals, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    canceller: Option<Canceller>,
    /// There is a progress line on a terminal.
    line: bool,
}

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

    /// From now on the first Ctrl-C cancels this job. `line`: a progress line shows it.
    pub(crate) fn cancels(&self, canceller: Canceller, line: bool) {
        *self.hold() = State { canceller: Some(canceller), line };
    }

    /// While this is held no signal ends the process: a temporary file is never left behind.
    pub(crate) fn hold(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn obey(&self, signals: SigSet) {
        while let Ok(signal) = signals.wait() {
            let mut state = self.hold();
            let canceller = state.canceller.take().filter(|_| signal == Signal::SIGINT);
            if state.line {
                // Behind the ^C that the terminal shows, and before the daemon answers.
                let text = if canceller.is_some() { " cancelling at the next step" } else { "" };
                let _ = io::stderr().write_all(format!("{text}\r\n").as_bytes());
            }
            if canceller.is_none_or(|mut canceller| canceller.cancel().is_err()) {
                process::exit(128 + signal as i32);
            }
        }
    }
}
