//! Control of a running job: whether the supervisor wants it to continue, pause or end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a job is to do at its next step. A later one in this order replaces an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Control {
    /// Continue.
    Continue = 0,
    /// Stop, to be resumed later.
    Pause = 1,
    /// Stop for good.
    Cancel = 2,
}

/// The control of one run, shared by the thread that reads commands and the one that generates.
///
/// Each run has its own, also when a job runs again: a command that comes too late, for a run that
/// has ended, has no effect.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlFlag(Arc<AtomicU8>);

impl ControlFlag {
    /// The control now.
    pub(crate) fn get(&self) -> Control {
        match self.0.load(Ordering::Relaxed) {
            0 => Control::Continue,
            1 => Control::Pause,
            _ => Control::Cancel,
        }
    }

    /// Sets this, unless a later one in the order is set.
    pub(crate) fn raise(&self, control: Control) {
        self.0.fetch_max(control as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_replaces_pausing() {
        let flag = ControlFlag::default();
        assert_eq!(flag.get(), Control::Continue);
        for (raised, now) in [
            (Control::Continue, Control::Continue),
            (Control::Pause, Control::Pause),
            (Control::Cancel, Control::Cancel),
            (Control::Pause, Control::Cancel),
        ] {
            flag.clone().raise(raised);
            assert_eq!(flag.get(), now);
        }
    }
}
