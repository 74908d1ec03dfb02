//! A switch that ends a pull early: every wait and every read looks at it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};

/// The switch.
#[derive(Debug, Default)]
pub struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Ends all waits.
    pub fn set(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Fails if the switch is set.
    ///
    /// # Errors
    /// `Stopped`.
    pub(crate) fn check(&self) -> Result<()> {
        if *self.lock() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Sleeps unless the switch is set meanwhile.
    ///
    /// # Errors
    /// `Stopped`.
    pub(crate) fn sleep(&self, time: Duration) -> Result<()> {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |is_set| !*is_set);
        let (is_set, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *is_set { Err(Error::Stopped) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
