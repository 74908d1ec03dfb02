//! What the supervisor wishes of a job that is running.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A wish; a later one in this order outdoes an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Wish {
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
pub(crate) struct Wishes(Arc<AtomicU8>);

impl Wishes {
    /// The wish now.
    pub(crate) fn now(&self) -> Wish {
        match self.0.load(Ordering::Relaxed) {
            0 => Wish::GoOn,
            1 => Wish::Pause,
            _ => Wish::Cancel,
        }
    }

    /// Wishes this from now on.
    pub(crate) fn add(&self, wish: Wish) {
        self.0.fetch_max(wish as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_outdoes_pausing() {
        let wishes = Wishes::default();
        assert_eq!(wishes.now(), Wish::GoOn);
        for (added, now) in [
            (Wish::GoOn, Wish::GoOn),
            (Wish::Pause, Wish::Pause),
            (Wish::Cancel, Wish::Cancel),
            (Wish::Pause, Wish::Cancel),
        ] {
            wishes.clone().add(added);
            assert_eq!(wishes.now(), now);
        }
    }
}
