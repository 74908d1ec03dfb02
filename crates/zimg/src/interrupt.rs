//! Signal handling: the first Ctrl-C asks the daemon to stop the jobs at their next step, the second
//! ends zimg at once.

use std::io::{self, Write};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use zimg_client::{Canceller, Failure, Kind};

/// The thread that waits for signals, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<InterruptShared>);

#[derive(Debug, Default)]
struct InterruptShared {
    state: Mutex<InterruptState>,
    /// Rings at the first Ctrl-C.
    wakeup: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct InterruptState {
    cancellers: Vec<(u64, Canceller)>,
    next: u64,
    /// The first Ctrl-C has come.
    interrupted: bool,
    /// There is something to bring to an end even while no job runs.
    deferred: bool,
    /// There is a progress line on a terminal.
    line: bool,
    /// What is said where Ctrl-C ends zimg at once.
    farewell: String,
}

/// While this lives the first Ctrl-C cancels its job.
#[derive(Debug)]
pub(crate) struct CancelGuard {
    interrupt: Interrupt,
    number: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.interrupt.hold().cancellers.retain(|(number, _)| *number != self.number);
    }
}

impl Interrupt {
    /// Takes SIGINT, SIGTERM and SIGHUP from now on, before any other thread starts.
    ///
    /// # Errors
    ///
    /// `Internal`: the system refuses.
    pub(crate) fn install() -> Result<Self, Failure> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let refused =
            |error| Failure::new(Kind::Internal, format!("cannot handle signals: {error}"));
        signals.thread_block().map_err(|error| refused(error.into()))?;
        let interrupt = Self(Arc::default());
        let state = interrupt.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || state.handle_signals(signals))
            .map_err(refused)?;
        Ok(interrupt)
    }

    /// The first Ctrl-C cancels this job, while what is returned lives. `line`: a progress line
    /// shows it.
    pub(crate) fn cancel_on_interrupt(&self, mut canceller: Canceller, line: bool) -> CancelGuard {
        let mut state = self.hold();
        state.line = line;
        state.next += 1;
        let number = state.next;
        if state.interrupted {
            // It came while this job was being asked for. A daemon that is gone has cancelled it.
            let _ = canceller.cancel();
        }
        state.cancellers.push((number, canceller));
        CancelGuard { interrupt: self.clone(), number }
    }

    /// Where Ctrl-C ends zimg at once, this is said.
    pub(crate) fn set_farewell(&self, farewell: String) {
        self.hold().farewell = farewell;
    }

    /// The first Ctrl-C ends nothing at once even when no job runs: the caller looks at
    /// [`Interrupt::interrupted`] and comes to an end.
    pub(crate) fn defer_exit(&self) {
        self.hold().deferred = true;
    }

    /// Whether the first Ctrl-C has come.
    pub(crate) fn interrupted(&self) -> bool {
        self.hold().interrupted
    }

    /// Sleeps, unless Ctrl-C comes.
    ///
    /// # Errors
    ///
    /// `Cancelled`: it came.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Failure> {
        let (state, _) = self
            .0
            .wakeup
            .wait_timeout_while(self.hold(), time, |state| !state.interrupted)
            .unwrap_or_else(PoisonError::into_inner);
        if state.interrupted {
            return Err(Failure::new(Kind::Cancelled, "interrupted"));
        }
        Ok(())
    }

    /// While this is held no signal ends the process: a temporary file is never left behind.
    pub(crate) fn hold(&self) -> MutexGuard<'_, InterruptState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle_signals(&self, signals: SigSet) {
        while let Ok(signal) = signals.wait() {
            let mut state = self.hold();
            let first = signal == Signal::SIGINT && !state.interrupted;
            let cancelled = state
                .cancellers
                .iter_mut()
                .filter(|_| first)
                .fold(0, |n, (_, canceller)| n + u32::from(canceller.cancel().is_ok()));
            let stays = first && (cancelled > 0 || state.deferred);
            if state.line {
                // Behind the ^C that the terminal shows, and before the daemon answers.
                let text = if stays { " cancelling at the next step" } else { "" };
                let _ = io::stderr().write_all(format!("{text}\r\n").as_bytes());
            }
            if !stays {
                let _ = io::stderr().write_all(state.farewell.as_bytes());
                process::exit(128 + signal as i32);
            }
            state.interrupted = true;
            self.0.wakeup.notify_all();
        }
    }
}
