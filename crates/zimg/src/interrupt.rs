//! Signal handling: the first Ctrl-C asks the daemon to stop the jobs at their next step, the second
//! ends zimg at once.

use std::io;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use zimg_client::{Canceller, Failure, Kind};
use zimg_system::processes;

use crate::stderr;

/// Held while a file exists that must not be left behind.
static EXIT: Mutex<()> = Mutex::new(());

/// While the lock is held no signal ends the process.
pub(crate) fn hold_exit() -> MutexGuard<'static, ()> {
    EXIT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Handle of the thread that waits for signals.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<InterruptShared>);

#[derive(Debug, Default)]
struct InterruptShared {
    state: Mutex<InterruptState>,
    /// Notified at the first Ctrl-C.
    wakeup: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct InterruptState {
    cancellers: Vec<(u64, Canceller)>,
    next: u64,
    /// The first Ctrl-C has come.
    interrupted: bool,
    /// The first Ctrl-C does not exit even while no job runs.
    deferred: bool,
    /// A progress line is shown on a terminal.
    line: bool,
    /// Printed when Ctrl-C ends zimg at once.
    farewell: String,
}

/// Guard: while it lives the first Ctrl-C cancels its job.
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
    /// Handles SIGINT, SIGTERM and SIGHUP from now on; call it before any other thread starts.
    ///
    /// # Errors
    ///
    /// `Internal`: the system refuses.
    pub(crate) fn install() -> Result<Self, Failure> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let refused = |error: io::Error| {
            Failure::new(
                Kind::Internal,
                format!("cannot handle signals: {}", processes::explain(&error)),
            )
        };
        signals.thread_block().map_err(|error| refused(error.into()))?;
        let interrupt = Self(Arc::default());
        let state = interrupt.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || state.handle_signals(signals))
            .map_err(refused)?;
        Ok(interrupt)
    }

    /// Lets the first Ctrl-C cancel this job while the guard lives. `line`: a progress line is
    /// shown.
    pub(crate) fn cancel_on_interrupt(&self, mut canceller: Canceller, line: bool) -> CancelGuard {
        let mut state = self.hold();
        state.line = line;
        state.next += 1;
        let number = state.next;
        if state.interrupted {
            // Ctrl-C came while the job was submitted. A closed connection has cancelled it
            // already.
            let _ = canceller.cancel();
        }
        state.cancellers.push((number, canceller));
        CancelGuard { interrupt: self.clone(), number }
    }

    /// Sets the message for a Ctrl-C that ends zimg at once.
    pub(crate) fn set_farewell(&self, farewell: String) {
        self.hold().farewell = farewell;
    }

    /// Lets the first Ctrl-C never exit at once: the caller checks [`Interrupt::interrupted`] and
    /// ends.
    pub(crate) fn defer_exit(&self) {
        self.hold().deferred = true;
    }

    /// Whether the first Ctrl-C has come.
    pub(crate) fn interrupted(&self) -> bool {
        self.hold().interrupted
    }

    /// Sleeps until `time` is over or Ctrl-C comes.
    ///
    /// # Errors
    ///
    /// `Cancelled`: Ctrl-C came.
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

    /// While the lock is held no signal ends the process, so no temporary file is left behind.
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
                // After the ^C that the terminal echoes, and before the daemon answers.
                let text = if stays { " cancelling at the next step" } else { "" };
                stderr::say(&format!("{text}\r\n"));
            }
            if !stays {
                stderr::say(&state.farewell);
                let _no_file_is_left = hold_exit();
                process::exit(128 + signal as i32);
            }
            state.interrupted = true;
            self.0.wakeup.notify_all();
        }
    }
}
