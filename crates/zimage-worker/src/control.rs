//! What the supervisor wishes of a job that is running.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A wish; a later one in this order outdoes an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Control {
    /// Nothing.
    GoOn = 0,
    /// To stop at the next step, so that it can go on later.
    Pause = 1,
    /// To stop at the next step.
    Cancel = 2,
}

/// One run's wish, between the thread that reads commands and the one that draws.
///
/// Each run has its own, also when a job runs again: so a wish that comes too late, for a run
/// that ended meanwhile, is nobody's.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlFlag(Arc<AtomicU8>);

impl ControlFlag {
    /// The wish now.
    pub(crate) fn now(&self) -> Control {
        match self.0.load(Ordering::Relaxed) {
            0 => Control::GoOn,
            1 => Control::Pause,
            _ => Control::Cancel,
        }
    }

    /// ControlFlag this from now on.
    pub(crate) fn add(&self, wish: Control) {
        self.0.fetch_max(wish as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_outdoes_pausing() {
        let control = ControlFlag::default();
        assert_eq!(control.now(), Control::GoOn);
        for (added, now) in [
            (Control::GoOn, Control::GoOn),
            (Control::Pause, Control::Pause),
            (Control::Cancel, Control::Cancel),
            (Control::Pause, Control::Cancel),
        ] {
            control.clone().add(added);
            assert_eq!(control.now(), now);
        }
    }
}
