//! Calls under way: how each is stopped when the client cancels it or goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use zimg_client::Canceller;

/// All calls that have not ended, by the id of their request.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<String, Call>>>);

/// A call: whether it is stopped, and the job that ends with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Call(Arc<Mutex<CallState>>);

#[derive(Debug, Default)]
struct CallState {
    stopped: bool,
    canceller: Option<Canceller>,
}

impl Calls {
    /// Adds a call.
    pub(super) fn begin(&self, id: &Value) -> Call {
        let call = Call::default();
        self.all().insert(id.to_string(), call.clone());
        call
    }

    /// Removes it; whether its client still waits for an answer.
    pub(super) fn end(&self, id: &Value) -> bool {
        self.all().remove(&id.to_string()).is_some_and(|call| !call.is_stopped())
    }

    /// Stops the call of a request, if it has not ended.
    pub(super) fn stop(&self, id: &Value) {
        let call = self.all().get(&id.to_string()).cloned();
        if let Some(call) = call {
            call.stop();
        }
    }

    /// Stops all of them.
    pub(super) fn stop_all(&self) {
        let calls: Vec<_> = self.all().values().cloned().collect();
        calls.iter().for_each(Call::stop);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// Whether the client waits no longer.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// The job that ends with the call, or none any more.
    pub(super) fn set_job(&self, canceller: Option<Canceller>) {
        let mut state = self.state();
        state.canceller = canceller;
        if state.stopped {
            cancel(&mut state);
        }
    }

    fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        cancel(&mut state);
    }

    fn state(&self) -> MutexGuard<'_, CallState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancel(state: &mut CallState) {
    if let Some(canceller) = &mut state.canceller {
        // A connection that is gone has no job.
        let _ = canceller.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_call_gets_no_answer() {
        let calls = Calls::default();
        let (first, second) = (calls.begin(&1.into()), calls.begin(&"1".into()));
        calls.stop(&1.into());
        calls.stop(&7.into());
        assert!(first.is_stopped() && !second.is_stopped());
        assert!(!calls.end(&1.into()) && calls.end(&"1".into()));
        assert_eq!(calls.len(), 0);
    }
}
